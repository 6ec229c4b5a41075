"""Every on-policy objective by its name."""

from collections.abc import Callable, Mapping

from alignment.objectives.divergence import fdpg
from alignment.objectives.problem import Problem, State
from alignment.objectives.samples import Drawn, Rated

OBJECTIVES: Mapping[str, Callable[[Problem, State, Drawn], Rated]] = {"fdpg": fdpg}
