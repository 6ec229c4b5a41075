"""Conversations in one row: the same numbers and the same gradient as each in its own."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MambaConfig

from alignment.kinds.sft.run import imitation_step
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of
from alignment.models.training import backward
from alignment.sampling.joint_rows import check_joint, full_rows, joint_logps
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError
from tests.alignment.conftest import tiny_policy, tiny_tokenizer

ROWS = [Written((3, 6, 7), (8, 9, 1)), Written((3, 2), (5, 1)), Written((4,), (7, 7, 9, 6, 8, 1))]
SIZES = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32}


def of_config(config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    return Policy(model, tiny_tokenizer())


def llama():
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32}
    return of_config(LlamaConfig(**SIZES, **heads, pad_token_id=0, initializer_range=0.3))


@pytest.mark.parametrize("make", [tiny_policy, llama], ids=["GPT-2", "Llama"])
def test_each_token_is_told_as_in_a_row_of_its_own(make):
    policy = make()
    found = joint_logps(policy, ROWS)
    expected = completion_token_logps(policy.model, rollouts_of(policy, ROWS))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    check_joint(policy, ROWS)


def test_packed_rows_have_the_same_gradient(policy, monkeypatch):
    policy.model.requires_grad_(True)

    def taken(packing):
        policy.model.zero_grad()
        told = backward(imitation_step(policy, rows, packing=packing)(range(5)))
        return told, [weight.grad.clone() for weight in policy.model.parameters()]

    rows = [*ROWS, *ROWS[:2]]
    (whole, expected), (packed, found) = taken(packing=False), taken(packing=True)
    assert packed == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_rows_are_filled_and_hold_everything_once(policy, monkeypatch):
    monkeypatch.setattr("alignment.sampling.joint_rows.budget", lambda device: 10)
    groups = list(full_rows(policy, [6, 3, 2, 12, 4, 1]))
    assert sorted(place for group in groups for place in group) == list(range(6))
    assert groups[0] == [3]
    assert all(sum([6, 3, 2, 12, 4, 1][place] for place in group) <= 12 for group in groups)
    assert len(groups) == 3


def test_an_architecture_that_reads_on_is_refused():
    policy = of_config(MambaConfig(**SIZES, state_size=4, initializer_range=0.3))
    with pytest.raises(ConfigError, match="cannot be packed"):
        check_joint(policy, ROWS)
