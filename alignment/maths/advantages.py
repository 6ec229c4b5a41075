"""How much better than expected a completion or a token was: pure functions of rewards.

leave-one-out        A_i = R_i - mean of the prompt's other R_j         Kool et al., 2019; RLOO:
                                                                        Ahmadian et al., 2024
    of old samples   the mean is self-normalised: sum_j w_j R_j / sum_j w_j, w = policy / sampler
group-normalised     A_i = (R_i - mean R) / (std R)                     GRPO: Shao et al., 2024
generalised (GAE)    A_t = sum_k (discount trace)^k delta_t+k,          Schulman et al., 2016
                     delta_t = r_t + discount V_t+1 - V_t
"""

import torch
from torch import Tensor

LEAST_WEIGHT = 1e-9  # of the others, as a share of all; below it they say nothing
LEAST_SPREAD = 1e-4  # added to a standard deviation: equal rewards divide nothing by zero


def leave_one_out(rewards: Tensor) -> Tensor:
    """(prompts, n) mean reward of the same prompt's other completions."""
    return (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)


def weighted_leave_one_out(values: Tensor, weights: Tensor, owners: Tensor) -> Tensor:
    """(groups, n) weighted mean value of the same owner's other completions, of all its groups.

    `values` and `weights` are (groups, n), `owners` (groups,) numbers of prompts. 0 where the others
    weigh next to nothing beside the completion itself.
    """
    assert values.shape == weights.shape
    same = (owners[:, None] == owners).to(weights.dtype)
    total = (same @ weights.sum(1))[:, None]
    worth = (same @ (weights * values).sum(1))[:, None]
    others = total - weights
    means = (worth - weights * values) / others
    return means.where(others > LEAST_WEIGHT * total, 0.0)


def advantages(rewards: Tensor) -> Tensor:
    """(prompts * n,) rewards (prompts, n) less those of the same prompt's others."""
    return (rewards - leave_one_out(rewards)).flatten()


def group_normalised(rewards: Tensor, *, scale: bool) -> Tensor:
    """(prompts * n,) rewards (prompts, n) less the prompt's mean, by its standard deviation if asked.

    Without the scale as in Dr. GRPO (Liu et al., 2025): (n - 1) / n times the leave-one-out's.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    spread = rewards.std(1, keepdim=True) + LEAST_SPREAD if scale else 1.0
    return (centred / spread).flatten()


def generalised(
    rewards: Tensor, values: Tensor, mask: Tensor, discount: float, trace: float
) -> Tensor:
    """(n, length) advantages of tokens; all arguments but the numbers are so too, values in advance.

    A completion ends with its last counted token, also where it was cut at the length limit: what
    would follow is no part of the outcome, so nothing is worth anything there.
    """
    assert rewards.shape == values.shape == mask.shape
    found, later = torch.zeros_like(values), torch.zeros_like(values[:, 0])
    following = torch.zeros_like(later)  # the value of the next token
    for place in range(values.shape[1] - 1, -1, -1):
        counts = mask[:, place]
        surprise = rewards[:, place] + discount * following - values[:, place]
        later = torch.where(counts, surprise + discount * trace * later, 0.0)
        following = torch.where(counts, values[:, place], 0.0)
        found[:, place] = later
    return found


def whitened(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(n, length) values with mean 0 and deviation 1 where they count, 0 elsewhere; the deviation."""
    counted = values[mask]
    spread = counted.std(unbiased=False) + LEAST_SPREAD
    return ((values - counted.mean()) / spread).masked_fill(~mask, 0.0), spread
