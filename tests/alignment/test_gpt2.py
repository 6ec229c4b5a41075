"""Decoding by GPT-2's own equations: what transformers computes, and only where it is GPT-2 alone."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from alignment.models.computation import in_bf16
from alignment.models.quantisation import int8_weights
from alignment.sampling import sampling, scoring
from alignment.sampling.readers import gpt2
from alignment.sampling.readers.families import reader_of
from alignment.sampling.sampling import sample

RAGGED = [[3, 6], [3, 7, 8, 9, 10], [3, 11, 12]]
EVEN = [[3, 6, 7], [3, 9, 8]]


def drawn(policy, prompts):
    generator = torch.Generator().manual_seed(4)
    return sample(policy, prompts, completions=8, max_new_tokens=9, generator=generator)


@pytest.mark.parametrize("prompts", [RAGGED, EVEN])
def test_tokens_and_probabilities_are_those_of_transformers(policy, prompts, monkeypatch):
    read, calls = gpt2.GPT2Reader.read, []

    def counted(*arguments, **options):
        calls.append(arguments)
        return read(*arguments, **options)

    monkeypatch.setattr(gpt2.GPT2Reader, "read", counted)
    fast = drawn(policy, prompts)
    assert len(calls) == 9
    assert len({len(ids) for ids in fast.completion_ids()}) > 1  # rows end at different times
    monkeypatch.setattr(sampling, "reader_of", lambda model: None)
    slow = drawn(policy, prompts)
    assert len(calls) == 9
    assert torch.equal(fast.tokens, slow.tokens)
    torch.testing.assert_close(fast.token_logps, slow.token_logps, atol=1e-5, rtol=0)


def test_rounded_weights_are_read_as_they_are(policy):
    plain = drawn(policy, RAGGED)
    with int8_weights(policy.model):
        rounded = drawn(policy, RAGGED)
    assert not torch.equal(plain.token_logps, rounded.token_logps)


def listened_to(policy):
    policy.model.transformer.h[0].mlp.register_forward_hook(lambda *_: None)
    return policy


def in_half(policy):
    in_bf16(policy.model)
    return policy


def training(policy):
    policy.model.train()
    return policy


@pytest.mark.parametrize("changed", [listened_to, in_half, training])
def test_a_model_that_is_more_than_gpt_2_reads_for_itself(policy, changed):
    assert reader_of(policy.model) is not None
    assert reader_of(changed(policy).model) is None


@pytest.mark.parametrize(
    "setting",
    [
        {"scale_attn_by_inverse_layer_idx": True},
        {"reorder_and_upcast_attn": True},
        {"scale_attn_weights": False},
        {"add_cross_attention": True},
    ],
)
def test_variants_of_gpt_2_read_for_themselves(setting):
    plain = {"vocab_size": 16, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    assert reader_of(GPT2LMHeadModel(GPT2Config(**plain)).eval()) is not None
    assert reader_of(GPT2LMHeadModel(GPT2Config(**plain, **setting)).eval()) is None


@pytest.mark.parametrize("prompts", [RAGGED, EVEN])
def test_scores_and_their_gradient_are_those_of_transformers(policy, prompts, monkeypatch):
    rollouts = drawn(policy, prompts)
    fast = scored(policy, rollouts)
    monkeypatch.setattr(scoring, "reader_of", lambda model: None)
    slow = scored(policy, rollouts)
    for mine, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def scored(policy, rollouts):
    """Log-probabilities one by one and with prompts read once, and the gradient of either's sum."""
    found = []
    for batches in (
        scoring.batches(policy.model, rollouts),
        scoring.shared_batches(policy.model, rollouts),
    ):
        policy.model.zero_grad()
        logps = torch.zeros_like(rollouts.token_logps)
        for batch in batches:
            part = scoring.token_logps(scoring.completion_logits(policy.model, batch), batch)
            logps[batch.rows, : part.shape[1]] = part.detach()
            part.sum().backward()
        found += [logps, *(weight.grad.clone() for weight in policy.model.parameters())]
    return found
