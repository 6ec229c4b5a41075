"""How far a reward tilts answers at each beta, before anything is aligned."""

import math

import pytest
import torch

from alignment.reward.tilt import BETAS, LEAST, ess_by_beta


def test_the_share_of_normal_rewards_is_known(generator):
    """exp(r / beta) of rewards with deviation s has the effective share exp(-(s / beta)^2)."""
    prompts = [place // 2 for place in range(20_000)]
    levels = torch.randn(10_000, generator=generator).repeat_interleave(2)  # of the prompts
    rewards = levels + 0.5 * torch.randn(20_000, generator=generator)
    found = dict(ess_by_beta(rewards, prompts))
    assert list(found) == BETAS
    for beta in (0.5012, 1.0, 1.9953):
        assert found[beta] == pytest.approx(math.exp(-((0.5 / beta) ** 2)), abs=0.03)


def test_a_smaller_beta_leaves_fewer(generator):
    shares = [ess for _, ess in ess_by_beta(torch.randn(100, generator=generator), [0] * 100)]
    assert shares == sorted(shares)
    assert shares[0] < 0.05 < 0.95 < shares[-1]


def test_of_too_few_answers_and_of_lonely_ones_nothing_is_said():
    assert ess_by_beta(torch.zeros(LEAST - 1), [0] * (LEAST - 1)) == []
    assert ess_by_beta(torch.zeros(100), range(100)) == []
