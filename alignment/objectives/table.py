"""Every on-policy objective by its name."""

from collections.abc import Callable, Mapping

from alignment.kinds.settings.objectives import ObjectiveName
from alignment.objectives.fdpg import fdpg
from alignment.objectives.policy_gradients import grpo, ppo, rloo
from alignment.objectives.problem import Problem, State
from alignment.objectives.samples import Drawn, Rated

OBJECTIVES: Mapping[ObjectiveName, Callable[[Problem, State, Drawn], Rated]] = {
    "fdpg": fdpg,
    "rloo": rloo,
    "grpo": grpo,
    "ppo": ppo,
}
