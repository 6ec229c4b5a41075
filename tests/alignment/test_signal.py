"""A step is as long as its gradient is signal, or as the target is far."""

from dataclasses import replace

import pytest
import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import DIVERGENCES
from alignment.objectives.problem import prepare
from alignment.objectives.signal import (
    NEAR,
    SMALL,
    Noise,
    remember_tail,
    share_of_signal,
    share_of_way,
)
from alignment.objectives.steps import train_step
from alignment.objectives.toy import listing, toy_problem, toy_state
from tests.cases import cases

STEPS = 60
KNOWN = torch.ones(3, dtype=torch.bool)


def shares_of(gradients):
    """What each step of these gradients (steps, n) is scaled by."""
    weight = torch.nn.Parameter(torch.zeros(gradients.shape[1]))
    optimizer = torch.optim.AdamW([weight], lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    noise, found = Noise(), []
    for gradient in gradients:
        weight.grad = gradient.clone()
        found.append(share_of_signal(optimizer, noise))
        optimizer.step()
    return torch.tensor(found)


def noise_of(generator, scale=1.0):
    return scale * torch.randn(STEPS, 4000, generator=generator)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_gradients_that_agree_are_signal_and_others_are_not(generator, scale):
    same = torch.randn(4000, generator=generator).expand(STEPS, -1) * scale
    assert shares_of(same)[2:].min() == 1
    assert shares_of(noise_of(generator, scale))[10:].mean() < 0.05


def test_noise_of_changing_size_is_no_signal(generator):
    sizes = torch.logspace(0, 3, STEPS)[:, None]
    assert shares_of(noise_of(generator) * sizes)[10:].mean() < 0.1
    assert shares_of(noise_of(generator) * sizes.flip(0))[10:].mean() < 0.1


def test_gradients_of_the_same_samples_count_as_one(generator):
    weight = torch.nn.Parameter(torch.zeros(4000))
    optimizer = torch.optim.AdamW([weight], lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    noise, found = Noise(), []
    for gradient in noise_of(generator):
        for again in (False, True, True):
            weight.grad = gradient.clone()
            found.append(share_of_signal(optimizer, noise, again=again))
            optimizer.step()
    assert torch.tensor(found)[30:].mean() < 0.1


def test_the_way_to_the_target_is_half_the_spread_of_the_log_ratios():
    u = torch.tensor([[1.0, -1.0], [2.0, 0.0], [5.0, 3.0]]) * NEAR**0.5
    assert share_of_way(1.001 * u, KNOWN) == 1
    assert share_of_way(u / 2, KNOWN) == pytest.approx(0.25)
    assert share_of_way(u / 2 + 100, KNOWN) == pytest.approx(0.25, rel=1e-4)
    assert share_of_way(u.masked_fill(u == u.max(), torch.inf), KNOWN) == 1
    assert share_of_way(u, ~KNOWN) == 0


def tail_of(name, chance, ratio, generator, steps=2000):
    """The running tail where the target has so many times the policy's mass on samples of this chance."""
    rest = (1 - chance * ratio) / (1 - chance)
    logs = -torch.tensor([rest, ratio], dtype=torch.float64).log()
    noise = Noise()
    for _ in range(steps):
        rare = torch.rand(3, 32, generator=generator) < chance
        remember_tail(noise, DIVERGENCES[name], logs[rare.long()], KNOWN)
    return noise.tail


def test_a_tail_that_few_samples_show_keeps_the_target_far(generator):
    # KL is 0.005 nats and half of chi-squared 0.18: one sample in a thousand says so.
    tail = tail_of("neyman_chi2", 0.001, 20, generator)
    assert tail > NEAR
    assert share_of_way(torch.zeros(3, 32), KNOWN, tail) == 1


@pytest.mark.parametrize("name", DIVERGENCES)
def test_near_the_target_no_divergence_has_a_tail(name, generator):
    u = SMALL * torch.randn(3, 4000, generator=generator, dtype=torch.float64)
    noise = Noise()
    remember_tail(noise, DIVERGENCES[name], u, KNOWN)
    assert noise.tail < NEAR / 1000


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_target_without_mass_where_the_policy_has_some_leaves_no_tail(name):
    noise = Noise()
    u = torch.tensor([[0.0, torch.inf], [0.0, 1.0], [0.0, 0.0]])
    remember_tail(noise, DIVERGENCES[name], u, KNOWN)
    assert noise.tail == 0


@cases("objective", ["fdpg", "rloo"], quick=["rloo"])
def test_where_nothing_is_to_be_learned_a_policy_stays(objective):
    config = AlignConfig(
        objective=objective, reward_weight=0, rule="contains", rule_text="zz", max_new_tokens=3
    )
    problem = toy_problem(config)
    never = replace(
        problem.target, reward=lambda policy, rollouts: torch.zeros(len(rollouts.prompts))
    )
    object.__setattr__(problem, "target", never)  # as of a rule for a letter that no word has
    state = toy_state(problem)
    prepare(problem, state)
    every = listing(problem)
    for _ in range(config.steps):
        train_step(problem, state)
    with torch.no_grad():
        ours, theirs = every.log_policy(state.policy), every.log_reference.log_softmax(1)
    assert (ours.exp() * (ours - theirs)).sum(1).mean() < 0.01


@pytest.mark.parametrize("objective", ["grpo", "ppo"])
def test_published_objectives_are_left_as_they_are(objective):
    assert not AlignConfig(objective=objective).damped
    assert AlignConfig().damped
    assert not AlignConfig(damping=False).damped
