"""Adapters beside base weights that are held in 4 bits, by bitsandbytes as it computes on a CPU.

`make prove PART=alignment` runs these where bitsandbytes is installed.
"""

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from alignment.kinds import KINDS
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.spec import RunSpec
from alignment.models import four_bits
from alignment.models.computation import is_coarse
from alignment.models.devices import Placement
from alignment.models.four_bits import is_rounded
from alignment.models.lora import adapted, kept_adapter, merged, size_of, trained
from alignment.models.policies import Policy
from alignment.reward import RewardModel
from alignment.sampling.readers.families import reader_of
from alignment.seam import memory
from alignment.seam.errors import ConfigError
from alignment.seam.events import Finished
from alignment.seam.records import write_jsonl
from alignment.trainer import runner
from tests.alignment.conftest import tiny_tokenizer
from tests.alignment.test_fitting import PAIRS, QUICK, SAID
from tests.alignment.test_loop import SMALL, records
from tests.architectures import policy_of
from tests.cases import cases

ROUNDED = Placement(learns=True, rounded=True)
WIDE = {"hidden_size": 64, "intermediate_size": 64}  # as many weights as share a scale
pytestmark = pytest.mark.prove  # with it installed, all that loads peft takes a second more


@pytest.fixture(autouse=True)
def _installed():
    pytest.importorskip(
        "bitsandbytes", reason="bitsandbytes is not installed: pip install bitsandbytes==0.50.2"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama wide enough for a scale."""
    place = tmp_path_factory.mktemp("llama")
    policy_of("llama", tiny_tokenizer(), **WIDE).save(place)
    return place


def logits(policy):
    with torch.no_grad():
        return policy.model(input_ids=torch.tensor([[3, 6, 7, 8]]), use_cache=False).logits


def learned(policy, rank=4):
    """The policy with an adapter that has learned something, and the adapter's handle."""
    found, handle = adapted(policy, rank, seed=0)
    for name, weight in trained(found.model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(1))
    return found, handle


def test_linear_layers_are_rounded_and_all_else_is_not(folder):
    rounded, whole = Policy.load(folder, placement=ROUNDED), Policy.load(folder)
    assert is_rounded(rounded.model)
    assert is_coarse(rounded.model)
    assert reader_of(rounded.model) is None
    assert rounded.model.model.layers[0].mlp.up_proj.weight.dtype == torch.uint8
    assert rounded.model.lm_head.weight.dtype == torch.float32
    assert size_of(rounded.model) == size_of(whole.model)
    near = (logits(rounded) - logits(whole)).abs().max()
    assert 0 < near < 0.5 * logits(whole).std() * 4


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_what_is_saved_are_the_whole_weights_with_what_was_learned(tmp_path, kind):
    wide = WIDE if kind == "llama" else {"n_embd": 64}
    policy_of(kind, tiny_tokenizer(), **wide).save(tmp_path / "base")
    policy, handle = learned(Policy.load(tmp_path / "base", placement=ROUNDED))
    (tmp_path / "out").mkdir()
    kept_adapter(handle).save(tmp_path / "out")
    result = merged(policy, handle)
    torch.testing.assert_close(logits(result), logits(policy), atol=0, rtol=0)
    result.save(tmp_path / "out")
    before, after = (load_file(tmp_path / one / "model.safetensors") for one in ("base", "out"))
    assert before.keys() == after.keys()
    whole, expected = learned(Policy.load(tmp_path / "base"))
    for name, weight in merged(whole, expected).model.state_dict().items():
        if name in after:
            torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=0)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    Policy.load(tmp_path / "out")


RUNS = {
    "sft": ("demonstrations", SAID, QUICK),
    "prefer": ("pairs", PAIRS, QUICK),
    "reward": ("pairs", PAIRS, QUICK),
    "align": (
        "prompts",
        records(6),
        {**SMALL, "steps": 4, "checkpoint_every": 2, "reward_weight": 0, "rule": "words"},
    ),
}


def a_run(kind, folder, place, resume=None):
    """The events of a run by an adapter beside base weights in 4 bits."""
    name, rows, settings = RUNS[kind]
    place.mkdir(exist_ok=True)
    write_jsonl(place / "rows.jsonl", rows)
    inputs = dict.fromkeys(("policy", "reference", "backbone"), str(folder)) | {name: "rows.jsonl"}
    config = {**settings, "lora_rank": 2, "base_weights": "nf4"}
    told = {"config": config, "inputs": inputs, "resume_from": resume}
    return runner(kind)(RunSpec(kind=kind, run=1, epoch=1, seed=4, **told), place)


@cases("kind", RUNS, quick=["sft"])
def test_every_kind_learns_beside_them_and_makes_a_whole_model(folder, tmp_path, kind):
    events = list(a_run(kind, folder, tmp_path / "whole"))
    assert isinstance(events[-1], Finished)
    output = tmp_path / "whole/output"
    before, after = (load_file(one / "model.safetensors") for one in (folder, output))
    inner = {name.removeprefix("model.") if kind == "reward" else name for name in before}
    assert after.keys() == inner - {"lm_head.weight"} if kind == "reward" else inner
    assert {weight.dtype for weight in after.values()} == {torch.float32}
    (RewardModel if kind == "reward" else Policy).load(output)
    if kind in ("align", "sft"):
        run = a_run(kind, folder, tmp_path / "parts")
        event = next(run)
        while getattr(event, "step", 0) != 2 or "metrics" not in type(event).model_fields:
            event = next(run)
        saved = run.send("save").path
        assert list(run) == []
        list(a_run(kind, folder, tmp_path / "parts", resume=saved))
        again = load_file(tmp_path / "parts/output/model.safetensors")
        assert all(torch.equal(again[name], after[name]) for name in after)


def test_where_nothing_computes_with_them_it_is_said(folder, monkeypatch):
    monkeypatch.setattr(four_bits, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="need bitsandbytes, which is not installed here"):
        Policy.load(folder, placement=ROUNDED)


def test_without_an_adapter_they_are_refused():
    with pytest.raises(ValidationError, match="says nothing without “LoRA rank”"):
        AlignConfig(base_weights="nf4")


SHAPE = memory.Shape(8_000_000_000, 32, 4096, 32, 1024, 128_256, 8192)


def test_forecasts_count_half_a_byte_a_weight():
    whole, rounded = memory.read(SHAPE), memory.read(SHAPE, four_bits=True)
    assert rounded == pytest.approx(4 * 2 * 128_256 * 4096 + 0.516 * 6_949_326_848, rel=1e-3)
    assert rounded < whole / 4
    for kind in ("align", "sft", "prefer", "reward"):
        needed = [
            KINDS[kind].memory(KINDS[kind].settings(lora_rank=8, base_weights=base), SHAPE)
            for base in ("nf4", "stored")
        ]
        assert needed[0] < needed[1] - 0.7 * whole
