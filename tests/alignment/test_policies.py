"""Model folders in and out, and prompts as the model reads them."""

import pytest
import torch
from transformers import GPT2Config

from alignment.models.conversations import answered
from alignment.models.policies import Policy
from alignment.pretraining.starter import build_tokenizer
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.records import Message
from tests.alignment.conftest import hurried, tiny_policy, tiny_tokenizer

TALK = [Message(role="system", content="good day"), Message(role="user", content="please now")]


def test_a_saved_policy_is_the_same_policy(policy, policy_folder):
    again = Policy.load(policy_folder)
    first, second = policy.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.prompt_ids(TALK) == policy.prompt_ids(TALK)


def test_a_loaded_policy_has_no_dropout(policy_folder):
    model = Policy.load(policy_folder).model
    ids = torch.tensor([[3, 6, 7]])
    assert not model.training
    assert torch.equal(model(ids).logits, model(ids).logits)


def test_a_faster_activation_is_the_same_function(policy, policy_folder):
    ids = torch.tensor([[3, 6, 7, 12]])
    fast = Policy.load(policy_folder).model(ids).logits
    torch.testing.assert_close(fast, policy.model(ids).logits)


def test_a_prompt_ends_where_the_answer_begins(policy):
    words = policy.tokenizer.convert_ids_to_tokens(policy.prompt_ids(TALK))
    expected = "<|system|> good day <|user|> please now <|assistant|>"
    assert words == expected.split()


def test_a_tokenizer_without_template_gets_a_plain_conversation(policy):
    policy.tokenizer.chat_template = None
    ids = policy.prompt_ids([Message(role="user", content="good\nday")])
    expected = policy.tokenizer("User: good\nday\nAssistant:")["input_ids"]
    assert ids == expected


def test_text_leaves_special_tokens_out(policy):
    assert policy.text([10, 11, policy.turn_end]) == "sun rain"


def test_context_and_end_are_known(policy):
    assert (policy.context_length, policy.turn_end) == (32, 1)


def test_a_model_that_names_no_end_is_refused(policy):
    policy.tokenizer.eos_token = policy.model.generation_config.eos_token_id = None
    with pytest.raises(ConfigError, match="end-of-text"):
        _ = policy.ends


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not hold a model"):
        Policy.load(tmp_path)


def test_weights_that_are_not_safetensors_are_refused(tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    GPT2Config(vocab_size=16, n_embd=16, n_layer=1, n_head=2).save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle, which could run code")
    with pytest.raises(DataError, match="does not hold a model"):
        Policy.load(tmp_path)


def test_pad_may_be_the_end_token():
    policy = tiny_policy(pad_is_end=True)
    assert policy.tokenizer.pad_token_id == policy.turn_end


def test_without_a_template_an_answer_begins_with_a_space():
    """As byte-level models write it after "Assistant:"; what is learned is what would be drawn."""
    tokenizer = build_tokenizer(["Assistant: good day", "good day Assistant:"], 400)
    asked = [Message(role="user", content="good")]
    tokenizer.chat_template = None
    for answer in ("good day", " good day"):
        prompt, ids, closed = answered(tokenizer, asked, answer)
        assert (tokenizer.decode(ids), closed) == (" good day", False)
        whole = tokenizer("User: good\nAssistant: good day")["input_ids"]
        assert prompt + ids == whole
    assert answered(tokenizer, asked, "").completion == []
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    assert tokenizer.decode(answered(tokenizer, asked, "good day").completion) == "good day"


def test_a_template_that_does_not_take_the_conversation_is_named(policy):
    policy.tokenizer.chat_template = "{{ raise_exception('no system turn here') }}"
    with pytest.raises(DataError, match="of system, user: no system turn here"):
        policy.prompt_ids(TALK)


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "1 s"),
        ("{{ 'x' * 10 ** 10 }}", "more than 1 GB"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ range(10 ** 9) }}", "OverflowError"),
        ("{% include 'other' %}", "no loader"),
        ("{% for %}", "no chat template that can be used"),
    ],
)
def test_a_template_that_computes_too_much_or_fails_refuses_a_run(policy, template, cause):
    policy.tokenizer.chat_template = template
    with hurried(cause), pytest.raises(DataError, match=r"chat_template\.jinja") as refused:
        policy.prompt_ids(TALK)
    assert cause in str(refused.value)


def test_a_reference_must_read_the_same_tokens_and_prompts(policy):
    other = tiny_policy()
    policy.check_prompts(other)
    other.tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    policy.check_tokens(other)
    with pytest.raises(ConfigError, match="prompts by different templates"):
        policy.check_prompts(other)
    other.tokenizer.add_tokens(["snow"])
    with pytest.raises(ConfigError, match="different tokenizers"):
        policy.check_tokens(other)
