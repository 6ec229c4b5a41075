"""A policy class that cannot reach its target: what each divergence gives up."""

import pytest
import torch

from benchmarks.ordering import (
    BETA,
    NAMES,
    TARGETS,
    figure,
    is_ordered,
    optimum,
    policy_logps,
    rewards_of,
)


@pytest.fixture(scope="module")
def optima():
    """The optima of every target."""
    return [{name: optimum(name, rewards_of(seed)) for name in NAMES} for seed in TARGETS]


def test_reverse_kl_seeks_reward_forward_kl_covers_and_jensen_shannon_is_between(optima):
    assert [is_ordered(row) for row in optima] == [True] * 5


def test_no_policy_of_the_class_reaches_a_target(optima):
    assert min(one.divergence for row in optima for one in row.values()) > 0.05


def test_forward_kl_s_optimum_is_the_product_of_the_marginals():
    rewards = rewards_of(0)
    target = (rewards / BETA).softmax(0).view(4, 4, 4)
    marginals = [target.sum((1, 2)), target.sum((0, 2)), target.sum((0, 1))]
    logits = torch.stack(marginals).log()[None]
    expected = (target.flatten() * (target.flatten().log() - policy_logps(logits)[0])).sum()
    assert optimum("forward_kl", rewards).divergence == pytest.approx(expected.item(), abs=1e-9)


def test_the_figure_marks_every_optimum(optima):
    drawn = figure(optima)
    marks = drawn.count("<circle") + drawn.count('width="9"')
    assert marks == (len(TARGETS) + 1) * len(NAMES)
