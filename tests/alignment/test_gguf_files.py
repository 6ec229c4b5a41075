"""Files for llama.cpp and its like: what is in them, and that they answer as their models do."""

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from alignment.__main__ import main
from alignment.lab.gguf_files import (
    ANSWER,
    _most_probable,
    check_answers,
    neighbours,
    read_gguf,
    write_gguf,
)
from alignment.models.policies import Policy
from alignment.pretraining.starter import build_tokenizer
from alignment.seam.errors import DataError
from alignment.seam.records import Message
from tests.alignment.conftest import tiny_policy

ASKED = [(Message(role="user", content=f"a {n}"),) for n in range(20)]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(["a sun and the rain", "please say a good day now"], 300)


def policy_of(kind, tokenizer):
    """A random policy of 32 channels, so that Q8_0 has whole blocks, whose weights F16 holds."""
    policy = Policy(model_of(kind, tokenizer), tokenizer)
    for weight in policy.model.parameters():
        weight.data = weight.data.half().float()
    return policy


def model_of(kind, tokenizer):
    torch.manual_seed(0)
    size = len(tokenizer) + 3  # more outputs than tokens
    if kind == "gpt2":
        config = GPT2Config(
            vocab_size=size, n_positions=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3,
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        return GPT2LMHeadModel(config).eval()
    config = LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=64,
        tie_word_embeddings=True, initializer_range=0.3, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("weights", ["f16", "q8_0"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_tensors_come_back_and_answers_are_the_same(kind, weights, tokenizer, tmp_path):
    policy = policy_of(kind, tokenizer)
    path = tmp_path / "model.gguf"
    write_gguf(policy, path, weights)
    read = read_gguf(path, policy).model.state_dict()
    for name, weight in policy.model.named_parameters():
        found = read[name]
        if weights == "f16" or weight.ndim == 1 or "wpe" in name:
            assert torch.equal(found, weight), name
        else:
            turned = kind == "gpt2" and ".h." in name
            rows, other = (weight.T, found.T) if turned else (weight, found)
            largest = rows.reshape(-1, 32).abs().amax(1, keepdim=True) / 127
            off = (rows - other).reshape(-1, 32).abs()
            assert (off <= largest * 0.501 + rows.abs().max() * 1e-3).all(), name  # scales are F16
    answers = check_answers(policy, path, ASKED)
    assert answers.asked == 20
    if weights == "f16":
        assert answers.same == 20
        assert answers.largest_gap < 1e-4


def test_tokenizer_end_and_template_are_inside(tokenizer, tmp_path):
    policy = policy_of("gpt2", tokenizer)
    write_gguf(policy, tmp_path / "model.gguf", "q8_0")
    reader = gguf.GGUFReader(tmp_path / "model.gguf")

    def value(name):
        return reader.get_field(name).contents()

    tokens = value("tokenizer.ggml.tokens")
    assert len(tokens) == policy.width == value("gpt2.vocab_size")
    ids = tokenizer("a sun")["input_ids"]
    assert [tokens[place] for place in ids] == tokenizer.convert_ids_to_tokens(ids)
    assert tokens[-1] == f"[PAD{policy.width - 1}]"
    assert value("tokenizer.ggml.eos_token_id") == policy.turn_end
    assert value("tokenizer.chat_template") == tokenizer.chat_template
    types = value("tokenizer.ggml.token_type")
    assert types[policy.turn_end] == gguf.TokenType.CONTROL
    assert types[-1] == gguf.TokenType.UNUSED
    assert value("gpt2.context_length") == policy.context_length
    kinds = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
    assert kinds["blk.0.attn_qkv.weight"] == kinds["token_embd.weight"] == Type.Q8_0
    assert kinds["position_embd.weight"] == kinds["output_norm.weight"] == Type.F32


def test_what_rotates_together_stands_side_by_side():
    weight = torch.arange(8.0)[:, None]  # two heads of four channels
    assert neighbours(weight, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert np.array_equal(np.sort(neighbours(weight, 2)[:, 0].numpy()), np.arange(8.0))


def test_what_the_format_does_not_say_is_refused(tokenizer, tmp_path):
    path = tmp_path / "model.gguf"
    with pytest.raises(DataError, match="no byte-level BPE"):
        write_gguf(tiny_policy(), path, "f16")
    policy = policy_of("gpt2", tokenizer)
    policy.model.config.scale_attn_by_inverse_layer_idx = True
    with pytest.raises(DataError, match="differs from the usual one"):
        write_gguf(policy, path, "f16")
    policy.model.config.model_type = "falcon"
    with pytest.raises(DataError, match="“falcon” is not written"):
        write_gguf(policy, path, "f16")


def test_the_command_writes_a_file_that_was_checked(tokenizer, tmp_path, capsys):
    policy_of("llama", tokenizer).save(tmp_path / "model")
    told = ["gguf", "--policy", str(tmp_path / "model"), "--output", str(tmp_path / "a.gguf")]
    assert main(told) == 0
    assert "4 of 4 most probable answers are the same" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("*.gguf")] == ["a.gguf"]
    assert main(told) == 3
    assert "is there already" in capsys.readouterr().err
    tiny_policy().save(tmp_path / "words")
    assert main([*told[:2], str(tmp_path / "words"), "--output", str(tmp_path / "b.gguf")]) == 3
    assert not (tmp_path / "b.gguf").exists()


@pytest.mark.prove
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_llama_cpp_writes_the_same_most_probable_tokens(kind, tokenizer, tmp_path):
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    policy = policy_of(kind, tokenizer)
    write_gguf(policy, tmp_path / "model.gguf", "f16")
    file = llama_cpp.Llama(str(tmp_path / "model.gguf"), n_ctx=64, n_threads=1, verbose=False)
    ids = [policy.prompt_ids(turns) for turns in ASKED]
    ours = _most_probable(policy, ids).completion_ids()
    assert [greedy(file, one, tokenizer.eos_token_id) for one in ids] == [list(one) for one in ours]


def greedy(file, ids, end):
    """The tokens that llama.cpp finds most probable, with the end where it comes."""
    found = []
    for token in file.generate(ids, temp=0.0, repeat_penalty=1.0, reset=True):
        found.append(token)
        if token == end or len(found) == ANSWER:
            return found
    return found
