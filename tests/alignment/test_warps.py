"""Changes of the next token's chances: transformers' own, and what is drawn follows what is told."""

import math
from itertools import product

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from alignment.sampling.sampling import sample
from alignment.sampling.warps import Warp, warped
from tests.alignment.conftest import tiny_tokenizer
from tests.alignment.test_sampling import small_policy
from tests.architectures import policy_of

WARPS = [
    Warp(temperature, False, k, p, least)
    for temperature, k, p, least in product(
        (1.0, 0.6), (0, 1, 3), (1.0, 0.7, 0.05), (0.0, 0.4, 1.0)
    )
]


def by_transformers(logits, warp):
    """As `generate` has them, in its order."""
    chain = [TemperatureLogitsWarper(warp.temperature)]
    chain += [TopKLogitsWarper(warp.top_k)] if warp.top_k else []
    chain += [TopPLogitsWarper(warp.top_p)] if warp.top_p < 1 else []
    chain += [MinPLogitsWarper(warp.min_p)] if warp.min_p else []
    for one in chain:
        logits = one(None, logits)
    return logits


@pytest.mark.parametrize("warp", WARPS, ids=str)
def test_chances_are_those_of_transformers(warp):
    logits = 3 * torch.randn(40, 11, generator=torch.Generator().manual_seed(1))
    found, expected = warped(logits, warp), by_transformers(logits, warp)
    assert torch.equal(found.isinf(), expected.isinf())
    torch.testing.assert_close(found.softmax(-1), expected.softmax(-1), atol=1e-6, rtol=0)


def test_the_likeliest_stays_whatever_is_cut():
    logits = torch.tensor([[0.0, 0.0, 0.0], [-1e9, 5.0, -1e9]])
    for warp in (Warp(top_k=1), Warp(top_p=1e-9), Warp(min_p=1.0), Warp(greedy=True)):
        left = ~warped(logits, warp).isinf()
        assert left[:, :].any(1).all()
        assert left[1].tolist() == [False, True, False]
    assert (~warped(logits, Warp(greedy=True)).isinf()).sum(1).tolist() == [1, 1]


def test_a_usual_warp_changes_no_bit():
    logits = torch.randn(4, 9)
    assert warped(logits, Warp()) is logits


def test_a_penalty_is_that_of_transformers():
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(40, 11, generator=generator)
    ids = torch.randint(11, (40, 5), generator=generator)
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, ids, value=True)
    expected = RepetitionPenaltyLogitsProcessor(1.7)(ids, logits.clone())
    torch.testing.assert_close(warped(logits, Warp(penalty=1.7), seen), expected)
    cold = warped(logits, Warp(0.5, top_k=3, penalty=1.7), seen)
    torch.testing.assert_close(cold.softmax(-1), warped(expected, Warp(0.5, top_k=3)).softmax(-1))


@pytest.mark.parametrize("name", ["t5", "gpt2"])
def test_what_is_penalised_is_what_generate_penalises(name):
    """Greedy, where each token decides the next: the prompt counts, or what a decoder begins with."""
    policy = policy_of(name, tiny_tokenizer())
    prompt = [3, 6, 7, 7]
    expected = policy.model.generate(
        input_ids=torch.tensor([prompt]),
        do_sample=False,
        repetition_penalty=1.8,
        max_new_tokens=7,
        eos_token_id=list(policy.ends),
    )[0, 1 if policy.apart else len(prompt) :]
    found = sample(
        policy,
        [prompt, prompt[:2]],
        completions=1,
        max_new_tokens=7,
        warp=Warp(greedy=True, penalty=1.8),
        generator=torch.Generator(),
    )
    assert found.completion_ids()[0] == expected.tolist()


@pytest.mark.parametrize(
    "warp",
    [
        Warp(top_k=2),
        Warp(0.7, top_p=0.8),
        Warp(min_p=0.3),
        Warp(penalty=2.5),
        Warp(0.8, top_k=3, penalty=0.6),
    ],
    ids=str,
)
def test_what_is_drawn_follows_what_is_told(warp, generator):
    """The outcomes' probabilities sum to 1, and as many are drawn of each (chi squared, at 1e-4)."""
    policy, n = small_policy(), 4000
    drawn = sample(
        policy, [[3, 2]], completions=n, max_new_tokens=2, warp=warp, generator=generator
    )
    told = {}
    counts = {}
    for ids, logp in zip(drawn.completion_ids(), drawn.logps.tolist(), strict=True):
        told[tuple(ids)] = math.exp(logp)
        counts[tuple(ids)] = counts.get(tuple(ids), 0) + 1
    assert sum(told.values()) == pytest.approx(1, abs=1e-6)
    squared = sum((counts[ids] - n * p) ** 2 / (n * p) for ids, p in told.items())
    freedom = torch.tensor(len(told) - 1.0)
    assert len(told) > 1
    assert torch.special.gammaincc(freedom / 2, torch.tensor(squared / 2)) > 1e-4


def test_the_likeliest_tokens_are_the_same_every_time_and_sure(generator):
    drawn = sample(
        small_policy(),
        [[3, 2]],
        completions=3,
        max_new_tokens=4,
        warp=Warp(greedy=True),
        generator=generator,
    )
    assert len(set(map(tuple, drawn.completion_ids()))) == 1
    assert drawn.logps.tolist() == [0.0] * 3
