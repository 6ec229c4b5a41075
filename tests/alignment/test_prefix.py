"""Prompts that are read once, and caches that rows leave, on models of several kinds."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from alignment.models.policies import Policy
from alignment.sampling import scoring
from alignment.sampling.prefix import can_share, read_whole
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import batches, completion_logits, shared_batches, token_logps
from alignment.seam.errors import ConfigError
from tests.alignment.conftest import tiny_policy, tiny_tokenizer

PROMPTS = [[3, 6], [3, 7, 8, 9, 10, 4], [5], [3, 11, 12]]
SMALL = {
    "vocab_size": 16,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
KINDS = {
    "gpt2": None,
    "llama": SMALL,
    "mistral": {**SMALL, "sliding_window": 4},
    "gemma2": {**SMALL, "sliding_window": 4},
    "bloom": {"vocab_size": 16, "hidden_size": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.4},
}  # fmt: skip
SHARE = {"gpt2", "llama", "mistral", "bloom"}  # the others' layers forget, but where ours reads


def a_policy(kind):
    if KINDS[kind] is None:
        policy = tiny_policy(pad_is_end=True)
    else:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **KINDS[kind]))
        policy = Policy(model.eval().float(), tiny_tokenizer())
    return policy


def drawn(policy):
    seeded = torch.Generator().manual_seed(7)
    return sample(policy, PROMPTS, completions=5, max_new_tokens=9, generator=seeded)


def gradients(policy, rollouts, found):
    """Of a sum of all log-probabilities, each completion's by a weight of its own; and the sum's parts."""
    policy.model.zero_grad()
    weights = torch.linspace(-1, 2, len(rollouts.prompts))
    logps = torch.zeros_like(weights)
    for batch in found:
        part = token_logps(completion_logits(policy.model, batch), batch).sum(1)
        (weights[batch.rows] * part).sum().backward()
        logps[batch.rows] = part.detach()
    return logps, {n: w.grad for n, w in policy.model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_reading_prompts_once_changes_neither_values_nor_gradients(kind, monkeypatch):
    monkeypatch.setattr(scoring, "budget", lambda device: 16)
    policy = a_policy(kind)
    rollouts = drawn(policy)
    assert can_share(policy.model) == (kind in SHARE)
    alone = gradients(policy, rollouts, batches(policy.model, rollouts))
    together = gradients(policy, rollouts, shared_batches(policy.model, rollouts))
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_cache_loses_the_rows_that_ended(kind):
    policy = a_policy(kind)
    rollouts = drawn(policy)
    assert len(set(rollouts.lengths.tolist())) > 2
    logps, _ = gradients(policy, rollouts, batches(policy.model, rollouts))
    torch.testing.assert_close(rollouts.logps, logps, atol=2e-5, rtol=0)


def test_a_prompt_is_read_once_for_all_its_completions(policy, generator):
    rollouts = sample(policy, PROMPTS, completions=5, max_new_tokens=6, generator=generator)
    read = []
    policy.model.transformer.h[0].register_forward_pre_hook(
        lambda _, inputs: read.append(inputs[0].shape[0] * inputs[0].shape[1])
    )
    for batch in shared_batches(policy.model, rollouts):
        completion_logits(policy.model, batch)
    prompts = len(PROMPTS) * (max(map(len, PROMPTS)) - 1)
    assert read[0] == prompts
    assert sum(read) <= prompts + rollouts.tokens.numel()


def test_one_completion_a_prompt_is_read_with_its_prompt(policy, generator):
    rollouts = sample(policy, PROMPTS, completions=1, max_new_tokens=4, generator=generator)
    assert all(batch.prefix is None for batch in shared_batches(policy.model, rollouts))


def test_a_model_that_reads_whole_sequences_shares_nothing(policy):
    read_whole(policy.model)
    assert not can_share(policy.model)


def test_a_row_draws_the_same_whoever_ends_beside_it(policy):
    few, many = (
        sample(
            policy,
            [[3, 6]],
            completions=completions,
            max_new_tokens=9,
            generator=torch.Generator().manual_seed(2),
        )
        for completions in (4, 40)
    )
    assert len(set(many.lengths.tolist())) > 3
    assert many.completion_ids()[:4] == few.completion_ids()


def test_a_model_without_keys_and_values_is_refused():
    settings = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 1, "state_size": 8}
    shape = {"num_heads": 4, "head_dim": 8, "n_groups": 1}
    config = AutoConfig.for_model("mamba2", **settings, **shape)
    policy = Policy(AutoModelForCausalLM.from_config(config).eval(), tiny_tokenizer())
    policy.model.config.max_position_embeddings = 32
    with pytest.raises(ConfigError, match="keeps no keys and values"):
        drawn(policy)
