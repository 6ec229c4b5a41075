"""Prompts whose completions all have one reward teach nothing: others take their place, a bounded number of times.

Yu et al., "DAPO: An Open-Source LLM Reinforcement Learning System at Scale" (2025), section 3.2; there a step
goes on drawing until it is full, here at most so often as the settings say.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.objectives.policy_gradients import energies
from alignment.objectives.problem import Kept, Problem, State
from alignment.objectives.replay import group_of, joined
from alignment.objectives.samples import Drawn, draw, placed

EQUAL = 1e-9  # of rewards: a smaller spread is none


def dull(config: AlignConfig, drawn: Drawn) -> Tensor:
    """(prompts,) bool: all completions of the prompt have one reward."""
    rewards = energies(config, drawn.scored).view(drawn.u.shape)
    return rewards.amax(1) - rewards.amin(1) <= EQUAL


def dull_share(config: AlignConfig, drawn: Drawn) -> float:
    """The share of a step's prompts that teach nothing."""
    return dull(config, drawn).double().mean().item()


def with_signal(
    problem: Problem, state: State, places: Sequence[int], drawn: Drawn
) -> tuple[list[int], Drawn]:
    """The step's prompts and completions, with others in place of those that teach nothing, as far as there are."""
    config, chosen, tried = problem.config, list(places), set(places)
    for _time in range(config.redraws):
        rows = dull(config, drawn).nonzero().flatten().tolist()
        order = torch.randperm(problem.trained, generator=state.known.generator).tolist()
        others = [place for place in order if place not in tried][: len(rows)]
        if not others:
            break
        tried.update(others)
        anew = draw(problem, state, others, drawn.term)
        kept, new = Kept(tuple(chosen), drawn.scored), Kept(tuple(others), anew.scored)
        parts = [group_of(kept, row) for row in range(len(chosen))]
        for number, row in enumerate(rows[: len(others)]):
            chosen[row], parts[row] = others[number], group_of(new, number)
        drawn = placed(problem, state, chosen, joined(parts), drawn.term)
    return chosen, drawn
