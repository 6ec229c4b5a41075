"""Targets: unnormalised distributions that a policy is brought to, as log-scores that add up."""

from torch import Tensor


def reward_target(reference_logps: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """log P(x|c) = log a(x|c) + r(x, c) / beta, shape (n,): the optimum of RLHF with KL weight beta."""
    assert reference_logps.shape == rewards.shape
    return reference_logps + rewards / beta
