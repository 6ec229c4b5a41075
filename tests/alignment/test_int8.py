"""Eight bits: what is kept of weights, and models that compute in them."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from alignment.kinds.sft.settings import SftConfig
from alignment.lab.rounding import as_read
from alignment.maths.int8 import to_int8, worst_error
from alignment.models.forms import int8
from alignment.models.forms.form import bytes_of, make_plain, stored_layers, weights_in
from alignment.models.forms.int8 import (
    InputReading,
    Int8Layer,
    Int8Linear,
    Int8Record,
    choice_of,
    int8_of,
    int8_tensors,
)
from alignment.models.forms.stored import write_form
from alignment.models.loading import check_files
from alignment.models.lora import size_of, trained
from alignment.models.policies import Policy
from alignment.models.training import Trainee
from alignment.models.trials import try_contract
from alignment.sampling.readers.families import reader_of
from alignment.seam.errors import DataError
from alignment.seam.forms import form_named
from alignment.seam.modelfiles import FORM
from tests.alignment.conftest import tiny_policy

SCHEMES = ("symmetric", "asymmetric")
WEIGHTS = "model.safetensors"


def in_eight_bits(folder, scheme="symmetric", *, embeddings=True):
    """The tiny policy, written into a folder in eight bits."""
    policy = tiny_policy()
    layers = choice_of(policy.model, embeddings=embeddings).layers
    files = {}
    for name, layer in layers.items():
        files |= dict(int8_tensors(name, layer, int8_of(layer, scheme)))
    write_form(
        policy.model,
        Int8Record(layers=dict.fromkeys(layers, Int8Layer(scheme=scheme))),
        files,
        folder,
    )
    policy.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return {one: in_eight_bits(tmp_path_factory.mktemp(one), one) for one in SCHEMES}


@pytest.fixture
def folder(stored, tmp_path):
    return shutil.copytree(stored["symmetric"], tmp_path / "int8")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("layer", [nn.Linear(24, 8), Conv1D(8, 24)], ids=["Linear", "Conv1D"])
def test_no_weight_is_further_off_than_half_its_scale(layer, scheme):
    nn.init.normal_(layer.weight)
    layer.weight.data += 0.7
    rows = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
    kept = int8_of(layer, scheme)
    assert kept.values.dtype == torch.int8
    assert kept.values.shape == (8, 24)
    low, high = rows.amin(1).clamp(max=0), rows.amax(1).clamp(min=0)
    span = (high - low) / 255 if scheme == "asymmetric" else rows.abs().amax(1) / 127
    torch.testing.assert_close(kept.scales, span.detach())
    assert ((kept.weight - rows).abs() <= span[:, None] / 2 * (1 + 1e-4)).all()
    assert worst_error(rows, kept) == pytest.approx(0.5, abs=0.06)


def test_a_zero_point_helps_weights_that_lie_to_one_side():
    weight = torch.rand(8, 64, generator=torch.Generator().manual_seed(0)) + 1
    errors = [(to_int8(weight, symmetric=one).weight - weight).norm() for one in (True, False)]
    assert errors[1] < 0.6 * errors[0]
    assert torch.equal(to_int8(torch.zeros(2, 3)).weight, torch.zeros(2, 3))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_layer_computes_what_its_formula_says_and_a_row_depends_on_no_other(scheme):
    torch.manual_seed(0)
    layer = nn.Linear(16, 8)
    kept = int8_of(layer, scheme)
    packed = Int8Linear(kept, layer.bias, InputReading())
    packed.prepare()
    states = torch.randn(5, 16) * torch.tensor([[1.0], [100.0], [0.01], [3.0], [7.0]])
    found = packed(states)
    sizes = states.abs().amax(1, keepdim=True)
    coarse = (63 * states / sizes).round() / 63
    fine = (63 * 126 * (states / sizes - coarse)).round() / (63 * 126)
    expected = F.linear((coarse + fine) * sizes, kept.weight, layer.bias)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, F.linear(states, kept.weight, layer.bias), rtol=0, atol=0.02)
    for row in range(5):
        assert torch.equal(packed(states[row : row + 1]), found[row : row + 1])
    assert torch.equal(packed.kept.values, kept.values)
    check_one_part(kept, layer.bias, states)
    torch.testing.assert_close(packed.plain().weight, kept.weight)


def check_one_part(kept, bias, states):
    """Two channels are read as they are, the others in seven bits."""
    layer = Int8Linear(kept, bias, InputReading(parts=1, apart=(0, 7)))
    layer.prepare()
    others = states.clone()
    others[:, [0, 7]] = 0
    sizes = others.abs().amax(1, keepdim=True)
    read = (63 * others / sizes).round() / 63 * sizes
    read[:, [0, 7]] = states[:, [0, 7]]
    expected = F.linear(read, kept.weight, bias)
    torch.testing.assert_close(layer(states), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(as_read(states, (0, 7)), read)


def test_on_other_devices_only_weights_are_rounded(monkeypatch):
    monkeypatch.setattr(int8, "ENGINES", set())
    layer = nn.Linear(16, 8, bias=False)
    kept, states = int8_of(layer, "asymmetric"), torch.randn(2, 3, 16)
    unpacked = Int8Linear(kept, None, InputReading())
    unpacked.prepare()
    assert torch.equal(unpacked(states), F.linear(states, kept.weight))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_stored_model_answers_and_means_the_same_by_every_way_of_asking(stored, scheme):
    policy = Policy.load(stored[scheme])
    assert form_named(stored[scheme]) == "int8"
    assert len(list(stored_layers(policy.model))) == 2 * 4 + 2  # the embedding and its head
    assert reader_of(policy.model) is not None
    try_contract(policy)
    assert policy.ends == tiny_policy().ends
    assert size_of(policy.model) == size_of(tiny_policy().model)
    assert bytes_of(policy.model) < 0.6 * bytes_of(tiny_policy().model)


def test_the_reader_and_the_model_itself_say_the_same(stored):
    model = Policy.load(stored["asymmetric"]).model
    ids, places = torch.tensor([[6, 7, 8]]), torch.arange(3)[None]
    reader = reader_of(model)
    with torch.no_grad():
        torch.testing.assert_close(reader.read(ids, places, keep=3), model(ids).logits)


def test_a_tied_head_stays_tied_and_is_stored_once(stored):
    with safe_open(stored["symmetric"] / WEIGHTS, "pt") as file:
        names = set(file.keys())
    assert "transformer.wte.weight" in names
    assert not any("lm_head" in name for name in names)
    model = Policy.load(stored["symmetric"]).model
    assert torch.equal(model.lm_head.kept.values, model.transformer.wte.kept.values)
    assert weights_in(model.lm_head) == 0
    plain = make_plain(model)
    assert plain.lm_head.weight is plain.transformer.wte.weight


def test_what_is_to_be_trained_is_plain_again(stored):
    model = make_plain(Policy.load(stored["symmetric"]).model)
    assert not list(stored_layers(model))
    tensors = load_file(stored["symmetric"] / WEIGHTS)
    name = "transformer.h.1.mlp.c_fc"
    expected = tensors[f"{name}.weight"] * tensors[f"{name}.weight_scale"]
    assert torch.equal(model.get_submodule(name).weight, expected)
    assert all(one.requires_grad for one in model.parameters())
    model(torch.tensor([[6, 7]])).logits.sum().backward()


def change_record(folder, **changes):
    record = json.loads((folder / FORM).read_text())
    (folder / FORM).write_text(json.dumps(record | changes))


def change_tensor(folder, name, tensor):
    tensors = load_file(folder / WEIGHTS) | {name: tensor}
    kept = {name: one for name, one in tensors.items() if one is not None}
    save_file(kept, folder / WEIGHTS, {"format": "pt"})


FC = "transformer.h.0.mlp.c_fc"
HOSTILE = {
    "a form nobody knows": (lambda f: change_record(f, form="int3"), "is not known here"),
    "no form": (lambda f: change_record(f, form=None), "names no form"),
    "a layer that is none": (
        lambda f: change_record(f, layers={"transformer.h.9": {"scheme": "symmetric"}}),
        "is no layer",
    ),
    "a norm": (
        lambda f: change_record(f, layers={"transformer.ln_f": {"scheme": "symmetric"}}),
        "is no layer",
    ),
    "another scheme": (
        lambda f: change_record(f, layers={FC: {"scheme": "cubic"}}),
        "cannot be understood",
    ),
    "a channel that is not there": (
        lambda f: change_record(f, layers={FC: {"scheme": "symmetric", "apart": [16]}}),
        "puts others apart",
    ),
    "a negative channel": (
        lambda f: change_record(f, layers={FC: {"scheme": "symmetric", "apart": [-1]}}),
        "cannot be understood",
    ),
    "three parts": (
        lambda f: change_record(f, layers={FC: {"scheme": "symmetric", "parts": 3}}),
        "cannot be understood",
    ),
    "more": (lambda f: change_record(f, code="x"), "cannot be understood"),
    "zero points that are not there": (
        lambda f: change_record(f, layers={FC: {"scheme": "asymmetric"}}),
        "The files lack",
    ),
    "a weight in full": (
        lambda f: change_tensor(f, f"{FC}.weight", torch.zeros(16, 64)),
        "the form int8 has I8",
    ),
    "a turned weight": (
        lambda f: change_tensor(f, f"{FC}.weight", torch.zeros(64, 16, dtype=torch.int8)),
        "the form int8 has I8 16 by 64",
    ),
    "too few scales": (
        lambda f: change_tensor(f, f"{FC}.weight_scale", torch.ones(3)),
        "the form int8 has F32 64",
    ),
    "no scales": (lambda f: change_tensor(f, f"{FC}.weight_scale", None), "The files lack"),
    "infinite scales": (
        lambda f: change_tensor(f, f"{FC}.weight_scale", torch.full((64,), torch.inf)),
        "no positive numbers",
    ),
    "negative scales": (
        lambda f: change_tensor(f, f"{FC}.weight_scale", -torch.ones(64)),
        "no positive numbers",
    ),
    "a number out of range": (
        lambda f: change_tensor(f, f"{FC}.weight", torch.full((16, 64), -128, dtype=torch.int8)),
        "no symmetric scheme",
    ),
    "a tensor too many": (
        lambda f: change_tensor(f, "transformer.extra.weight", torch.ones(2)),
        "another model",
    ),
    "damaged plain weights": (
        lambda f: change_tensor(f, "transformer.ln_f.weight", torch.full((16,), torch.nan)),
        "not a number",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_foreign_folder_that_lies_is_refused_by_name(folder, case):
    damage, reason = HOSTILE[case]
    damage(folder)
    with pytest.raises(DataError, match=reason):
        Policy.load(folder)


def test_a_form_is_looked_at_before_weights_are_loaded(folder):
    check_files(folder, "policy")
    change_tensor(folder, f"{FC}.weight_scale", torch.ones(3))
    with pytest.raises(DataError, match="F32 64"):
        check_files(folder, "policy")


def test_eight_bits_without_a_form_are_refused_as_ever(folder):
    (folder / FORM).unlink()
    with pytest.raises(DataError, match="quantised; add the full-precision model"):
        Policy.load(folder)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_model_in_eight_bits_can_be_trained_on(stored, rank):
    loaded = Policy.load(stored["symmetric"])
    one = Trainee.of(loaded, SftConfig(lora_rank=rank), 0)
    assert not list(stored_layers(one.policy.model))
    assert {weight.dtype for weight in trained(one.policy.model).values()} == {torch.float32}
    assert size_of(one.result.model) == size_of(tiny_policy().model)
