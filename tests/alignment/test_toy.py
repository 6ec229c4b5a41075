"""The toy: all of its completions, and what is exactly known of them."""

import math

import pytest
import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import DIVERGENCES
from alignment.objectives.problem import prepare
from alignment.objectives.steps import train_step
from alignment.objectives.toy import listing, toy_policy, toy_problem, toy_state

SETTINGS = {"max_new_tokens": 2, "reference_completions": 64, "beta": 0.5}


@pytest.fixture
def problem():
    return toy_problem(AlignConfig(**SETTINGS), words=2)


def test_every_completion_is_listed_once_for_every_prompt(problem):
    every = listing(problem)
    assert every.log_target.shape == (2, 1 + 2 + 4)
    rows = zip(every.rollouts.prompts, every.rollouts.completion_ids(), strict=True)
    assert len({(prompt, tuple(ids)) for prompt, ids in rows}) == 14


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_policy_s_probabilities_sum_to_one(problem, temperature):
    sums = listing(problem).log_policy(toy_policy(2), temperature=temperature).exp().sum(1)
    assert (sums - 1).abs().max() < 1e-14


def test_the_target_by_its_formula(problem):
    every = listing(problem)
    tilted = every.log_reference.exp() * (every.values.rewards.view(2, -1) / 0.5).exp()
    torch.testing.assert_close(every.log_z, tilted.sum(1).log())
    torch.testing.assert_close(every.log_target.exp(), tilted / tilted.sum(1, keepdim=True))
    assert every.values.rewards.std() > 0.3


def test_reverse_kl_is_what_its_identity_says(problem):
    """beta log Z - E[r] + beta KL(policy || reference) = beta KL(policy || p)."""
    every, policy = listing(problem), toy_policy(2, seed=1)
    logps = every.log_policy(policy)
    kl = (logps.exp() * (logps - every.log_reference)).sum(1)
    reward = (logps.exp() * every.values.rewards.view(2, -1)).sum(1)
    expected = every.log_z - reward / 0.5 + kl
    torch.testing.assert_close(every.divergence(policy, DIVERGENCES["reverse_kl"]), expected)
    assert every.divergence(problem.reference, DIVERGENCES["reverse_kl"]).min() > 0.01


def test_the_loop_s_z_comes_near_the_exact_one(problem):
    state, every = toy_state(problem), listing(problem)
    prepare(problem, state)
    found = [state.known.z.log_z(record.key) for record in problem.prompts]
    assert found == pytest.approx(every.log_z.tolist(), abs=0.3)
    assert found != pytest.approx(every.log_z.tolist(), abs=1e-6)


def test_the_loop_trains_the_toy_and_leaves_the_reference(problem):
    state, every = toy_state(problem), listing(problem)
    prepare(problem, state)
    before = every.divergence(state.policy, DIVERGENCES["jensen_shannon"]).mean().item()
    for _ in range(30):
        train_step(problem, state)
    after = every.divergence(state.policy, DIVERGENCES["jensen_shannon"]).mean().item()
    assert after < 0.7 * before
    torch.testing.assert_close(listing(problem).log_z, every.log_z)


def test_making_a_toy_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(1).item()
    torch.manual_seed(3)
    toy_policy()
    assert torch.rand(1).item() == expected


def test_a_constraint_leaves_no_mass_where_it_is_broken():
    config = AlignConfig(**SETTINGS, reward_weight=0, must_contain="b")
    every = listing(toy_problem(config, words=2))
    policy_text = toy_policy(2).text
    broken = ["b" not in policy_text(ids) for ids in every.rollouts.completion_ids()]
    assert (every.log_target.flatten() == -math.inf).tolist() == broken
