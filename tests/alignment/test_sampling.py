"""Sampler and scorer agree, and probabilities sum to 1 over all outcomes."""

import math

import pytest
import torch

from alignment.objectives.toy import outcomes
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import (
    batches,
    completion_logits,
    completion_token_entropies,
    completion_token_kls,
    completion_token_logps,
    token_logps,
)
from alignment.sampling.warps import Warp
from alignment.seam.errors import DataError
from tests.alignment.conftest import tiny_policy
from tests.cases import cases

PROMPTS = [[3, 6], [3, 7, 8, 9, 10], [3, 11, 12]]


def small_policy(**options):
    policy = tiny_policy(vocabulary=5, **options)
    policy.model.double()
    return policy


@pytest.mark.parametrize("pad_is_end", [False, True])
def test_probabilities_sum_to_one_over_all_outcomes(pad_is_end):
    policy = small_policy(pad_is_end=pad_is_end)
    prompts = [[3, 2], [3, 2, 4, 0, 2], [2]]
    rollouts = outcomes(prompts, vocabulary=5, length=4, ends=policy.ends)
    logps = completion_token_logps(policy.model, rollouts).sum(1)
    sums = logps.exp().view(len(prompts), -1).sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-12, rtol=0)


@cases("pad_is_end", [False, True])
def test_the_sampler_s_own_probabilities_sum_to_one_behind_padding(pad_is_end, generator):
    """Prompts of unequal length are padded on the left; each has seven outcomes of up to two tokens."""
    policy = tiny_policy(vocabulary=3, pad_is_end=pad_is_end)
    policy.model.double()
    prompts = [[2], [2, 0, 2, 2, 0], [2, 2]]
    drawn = sample(policy, prompts, completions=6000, max_new_tokens=2, generator=generator)
    seen: dict = {}
    rows = zip(drawn.prompts, drawn.completion_ids(), drawn.logps.tolist(), strict=True)
    for prompt, ids, logp in rows:
        seen.setdefault(prompt, {})[tuple(ids)] = logp
    assert [len(outcomes) for outcomes in seen.values()] == [7, 7, 7]
    sums = [sum(math.exp(logp) for logp in outcomes.values()) for outcomes in seen.values()]
    assert sums == pytest.approx([1, 1, 1], abs=1e-12)
    scored = completion_token_logps(policy.model, drawn)
    torch.testing.assert_close(scored, drawn.token_logps, atol=1e-12, rtol=0)


def test_sampler_and_scorer_agree_per_token(policy, generator):
    rollouts = sample(policy, PROMPTS, completions=6, max_new_tokens=9, generator=generator)
    scored = completion_token_logps(policy.model, rollouts)
    torch.testing.assert_close(scored, rollouts.token_logps, atol=2e-5, rtol=0)


def test_they_agree_at_another_temperature(policy, generator):
    drawn = sample(
        policy,
        PROMPTS,
        completions=6,
        max_new_tokens=9,
        warp=Warp(temperature=0.7),
        generator=generator,
    )
    scored = completion_token_logps(policy.model, drawn, temperature=0.7)
    torch.testing.assert_close(scored, drawn.token_logps, atol=2e-5, rtol=0)


def test_samples_follow_the_scored_probabilities(generator):
    policy = small_policy()
    drawn = sample(policy, [[3, 2]], completions=20_000, max_new_tokens=2, generator=generator)
    every = outcomes([[3, 2]], vocabulary=5, length=2, ends=policy.ends)
    expected = completion_token_logps(policy.model, every).sum(1).exp()
    pads = (0, 2 - drawn.tokens.shape[1])
    tokens = torch.nn.functional.pad(drawn.tokens, pads, value=policy.turn_end)
    counts = (tokens[:, None] == every.tokens).all(2).double().mean(0)
    sigmas = (counts - expected).abs() / (expected * (1 - expected) / 20_000).sqrt().clamp(min=1e-9)
    assert sigmas.max() < 4.5


def test_a_completion_ends_with_eos_or_is_cut(policy, generator):
    drawn = sample(policy, PROMPTS, completions=8, max_new_tokens=6, generator=generator)
    ended = [ids[-1] == policy.turn_end for ids in drawn.completion_ids()]
    assert drawn.truncated.tolist() == [not end for end in ended]
    assert any(ended)
    assert not all(ended)


def test_rows_of_a_prompt_are_contiguous(policy, generator):
    drawn = sample(policy, PROMPTS, completions=2, max_new_tokens=3, generator=generator)
    assert [list(prompt) for prompt in drawn.prompts] == [p for p in PROMPTS for _ in range(2)]


def test_the_same_generator_state_draws_the_same(policy):
    runs = [
        sample(
            policy,
            PROMPTS,
            completions=4,
            max_new_tokens=8,
            generator=torch.Generator().manual_seed(3),
        )
        for _ in range(2)
    ]
    assert torch.equal(runs[0].token_logps, runs[1].token_logps)


def test_a_prompt_that_leaves_no_room_is_named(policy, generator):
    with pytest.raises(DataError, match=r"“good good.* has 30 tokens; a context of 32"):
        sample(policy, [[6] * 30], completions=1, max_new_tokens=8, generator=generator)


def test_token_kls_are_those_of_the_full_distributions(policy, generator):
    reference = tiny_policy(seed=1)
    drawn = sample(policy, [[3, 6]], completions=1, max_new_tokens=4, generator=generator)
    kls = completion_token_kls(policy.model, reference.model, drawn)
    ids = torch.tensor([[3, 6]])
    p, a = (m.model(ids).logits[0, -1].log_softmax(-1) for m in (policy, reference))
    torch.testing.assert_close(kls[0, 0], (p.exp() * (p - a)).sum())
    assert (kls[drawn.mask] > 0).all()


def test_the_gradient_of_token_logps_is_that_of_a_log_softmax(policy, generator):
    drawn = sample(policy, PROMPTS, completions=6, max_new_tokens=9, generator=generator)
    for batch in batches(policy.model, drawn):
        logits = completion_logits(policy.model, batch).detach().double().requires_grad_()
        weights = torch.randn(batch.mask.shape, dtype=torch.float64, generator=generator)
        rows = torch.arange(len(batch.rows))[:, None]
        plain = logits.log_softmax(-1)[rows, batch.places, batch.targets] * batch.mask
        (expected,) = torch.autograd.grad((weights * plain).sum(), logits)
        (found,) = torch.autograd.grad((weights * token_logps(logits, batch)).sum(), logits)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_token_entropies_sum_to_that_of_all_completions(policy, temperature):
    every = outcomes([[3, 6]], vocabulary=16, length=2, ends=policy.ends)
    logps = completion_token_logps(policy.model, every, temperature=temperature).sum(1).double()
    found = completion_token_entropies(policy.model, every, temperature=temperature).sum(1).double()
    expected = -(logps.exp() * logps).sum()
    torch.testing.assert_close((logps.exp() * found).sum(), expected, atol=1e-5, rtol=0)
