"""Students before they learn: which of a teacher's weights they have."""

from itertools import pairwise

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

from alignment.lab.students import BlockSizes, WeightAxis, block_sizes, entries, evenly, student_of
from alignment.models.policies import Policy
from alignment.seam.errors import ConfigError
from tests.alignment.conftest import tiny_policy, tiny_tokenizer

IDS = torch.tensor([[2, 6, 7, 8]])
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 16}
SIZES |= {"intermediate_size": 24, "max_position_embeddings": 32, "initializer_range": 0.3}


def made(kind):
    """A teacher of three layers, of an architecture."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if kind == "gpt2":
            return tiny_policy()
        if kind == "llama":
            model = LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2))
        else:
            model = BertForMaskedLM(BertConfig(**SIZES, type_vocab_size=1))
    return Policy(model.eval(), tiny_tokenizer())


def logits(policy):
    with torch.no_grad():
        return policy.model(input_ids=IDS).logits


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
def test_a_student_as_large_as_its_teacher_is_the_teacher(kind):
    teacher = made(kind)
    student = student_of(teacher, block_sizes(teacher.model).layers, 1.0)
    torch.testing.assert_close(logits(student), logits(teacher), rtol=0, atol=1e-6)
    own = next(student.model.parameters())
    assert own.data_ptr() != next(teacher.model.parameters()).data_ptr()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
def test_fewer_layers_are_whole_ones_of_the_teacher(kind):
    teacher = made(kind)
    size = block_sizes(teacher.model)
    student = student_of(teacher, size.layers - 1, 1.0)
    assert block_sizes(student.model) == size._replace(layers=size.layers - 1)
    whole, some = teacher.model.state_dict(), student.model.state_dict()
    last = f".{size.layers - 2}."
    names = [name for name in some if last in name]
    assert names
    source = f".{evenly(size.layers, size.layers - 1)[-1]}."
    for name in names:
        assert torch.equal(some[name], whole[name.replace(last, source)])
    assert logits(student).isfinite().all()


def test_layers_are_taken_at_equal_distances():
    assert [evenly(12, count) for count in (1, 2, 4, 6)] == [
        [0], [0, 11], [0, 4, 7, 11], [0, 2, 4, 7, 9, 11],
    ]  # fmt: skip
    for count in range(1, 12):
        found = evenly(12, count)
        assert len(found) == count
        assert all(one < other for one, other in pairwise(found))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
def test_a_narrower_student_has_whole_heads_and_answers(kind):
    teacher = made(kind)
    size = block_sizes(teacher.model)
    student = student_of(teacher, size.layers, 0.5)
    less = block_sizes(student.model)
    assert less == BlockSizes(size.layers, size.states // 2, size.groups // 2, size.inner // 2)
    heads = teacher.model.config.num_attention_heads
    assert student.model.config.num_attention_heads == heads // 2
    assert logits(student).shape == logits(teacher).shape
    assert logits(student).isfinite().all()


def test_what_weighs_least_goes_and_the_rest_stays_where_it_was():
    teacher = made("llama")
    model = teacher.model
    light = torch.arange(0, 16, 2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                states = 0 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1
                weight.index_copy_(states, light, weight.index_select(states, light) * 1e-3)
        for layer, gone in zip(model.model.layers, (0, 1, 0), strict=True):
            for part in (layer.self_attn.k_proj, layer.self_attn.v_proj, layer.self_attn.q_proj):
                rows = len(part.weight) // 2
                part.weight[gone * rows : (gone + 1) * rows] *= 1e-3
    student = student_of(teacher, 3, 0.5).model
    kept = torch.arange(1, 16, 2)
    assert torch.equal(student.model.embed_tokens.weight, model.model.embed_tokens.weight[:, kept])
    for own, layer, stays in zip(student.model.layers, model.model.layers, (1, 0, 1), strict=True):
        query = layer.self_attn.q_proj.weight[stays * 8 : (stays + 1) * 8]
        assert torch.equal(own.self_attn.q_proj.weight, query[:, kept])
        output = layer.self_attn.o_proj.weight[:, stays * 8 : (stays + 1) * 8]
        assert torch.equal(own.self_attn.o_proj.weight, output[kept])


def test_queries_keys_and_values_in_one_matrix_lose_the_same_heads():
    size = BlockSizes(layers=1, states=4, groups=2, inner=8)
    found = entries(torch.tensor([1]), WeightAxis("heads", 0, parts=3), 12, size)
    assert found.tolist() == [2, 3, 6, 7, 10, 11]


def test_what_cannot_be_made_is_said():
    teacher = made("gpt2")
    with pytest.raises(ConfigError, match="has 2 layers"):
        student_of(teacher, 3, 1.0)
    teacher.model.config.model_type = "strange"
    with pytest.raises(ConfigError, match="architecture strange"):
        student_of(teacher, 2, 0.5)
    teacher.model.transformer.h = torch.nn.Sequential(*teacher.model.transformer.h)
    with pytest.raises(ConfigError, match="layers of the architecture strange"):
        student_of(teacher, 1, 1.0)
