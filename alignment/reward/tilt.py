"""How far a reward would tilt a model at each beta, known before anything is aligned."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from alignment.maths.estimators import ess_fraction

BETAS = [round(10 ** (step / 10), 4) for step in range(-20, 11)]  # 0.01 to 10
LEAST = 30  # completions, below which nothing is said


def ess_by_beta(rewards: Tensor, prompts: Sequence[Hashable]) -> list[tuple[float, float]]:
    """(beta, effective share of the completions under exp(reward / beta)), by beta; empty for too few.

    rewards: (n,) of completions whose prompts are `prompts`. The share is of one prompt's completions, so
    only differences within prompts count; those of a few completions are widened by sqrt(m / (m - 1)), as
    their own mean is nearer to them than the prompt's.
    """
    members: dict[Hashable, list[float]] = {}
    for reward, prompt in zip(rewards.tolist(), prompts, strict=True):
        members.setdefault(prompt, []).append(reward)
    rows = [torch.tensor(row, dtype=torch.float64) for row in members.values() if len(row) > 1]
    if sum(map(len, rows)) < LEAST:
        return []
    spread = torch.cat([(row - row.mean()) * (len(row) / (len(row) - 1)) ** 0.5 for row in rows])
    return [(beta, round(ess_fraction(spread / beta).item(), 4)) for beta in BETAS]
