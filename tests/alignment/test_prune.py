"""Runs that set weights to zero, and which ones these are."""

import itertools
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from alignment.kinds.prune.results import PruneResults
from alignment.kinds.prune.run import (
    input_norms,
    output_errors,
    prunable,
    pruned_weights,
    take_out,
)
from alignment.kinds.prune.settings import PruneConfig
from alignment.kinds.spec import RunSpec
from alignment.lab.rounding import channels_of
from alignment.maths.estimators import estimate
from alignment.maths.sparsity import scores_of, smallest_of_all, smallest_of_rows, two_of_four
from alignment.models.policies import Policy
from alignment.models.texts import written
from alignment.models.training import scored
from alignment.seam.errors import ConfigError
from alignment.seam.records import Message, write_jsonl
from alignment.trainer import drive
from tests.alignment.conftest import sealed, tiny_policy
from tests.alignment.test_loop import records
from tests.cases import cases

SHORT = {"max_new_tokens": 6, "held_out_prompts": 8, "prompts": 8, "completions_per_prompt": 1}


@pytest.fixture
def weight():
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.7])
def test_exactly_the_share_goes_and_what_goes_is_smallest(weight, share):
    for gone, groups in (
        (smallest_of_rows(weight.abs(), share), weight),
        (smallest_of_all(weight.abs(), share), weight.reshape(1, -1)),
    ):
        taken = gone.reshape(groups.shape)
        assert (taken.sum(1) == round(share * groups.shape[1])).all()
        for row, mask in zip(groups.abs(), taken, strict=True):
            assert row[mask].max() <= row[~mask].min()
    assert smallest_of_rows(torch.ones(2, 4), 0.5).sum(1).tolist() == [2, 2]  # also of equal ones


def test_of_four_that_follow_each_other_two_go(weight):
    gone = two_of_four(weight.abs())
    assert (gone.reshape(-1, 4).sum(1) == 2).all()
    kept = weight.abs().masked_fill(gone, 0).reshape(-1, 4).sum(1)
    torch.testing.assert_close(kept, weight.abs().reshape(-1, 4).topk(2).values.sum(1))


def test_for_uncorrelated_inputs_no_choice_of_as_many_has_a_smaller_error(weight):
    norms = torch.rand(8, generator=torch.Generator().manual_seed(1)) * 3
    inputs = torch.diag(norms)  # whose XXᵀ is diagonal
    gone = smallest_of_rows(scores_of(weight, norms), 0.5)

    def error(row, mask):
        return F.linear(inputs, (weight[row] * mask)[None]).norm().item()

    for row in range(6):
        every = itertools.combinations(range(8), 4)
        masks = [torch.zeros(8).index_fill(0, torch.tensor(places), 1.0) for places in every]
        assert error(row, gone[row]) == pytest.approx(min(error(row, mask) for mask in masks))
        by_size = smallest_of_rows(scores_of(weight), 0.5)[row]
        assert error(row, gone[row]) <= error(row, by_size) + 1e-6


@pytest.mark.parametrize("layer", [nn.Linear(8, 4), Conv1D(4, 8)], ids=["Linear", "Conv1D"])
def test_what_is_taken_out_is_zero_for_good(layer):
    nn.init.normal_(layer.weight)
    before = channels_of(layer).detach().clone()
    gone = smallest_of_rows(before.abs(), 0.5)
    take_out(layer, gone)
    assert isinstance(layer.weight, nn.Parameter)
    assert torch.equal(channels_of(layer), before.masked_fill(gone, 0))


def test_norms_and_errors_are_those_of_the_inputs():
    layer = nn.Linear(4, 3)
    parts = torch.randn(2, 5, 4), torch.randn(3, 4)

    def read():
        for part in parts:
            layer(part)

    states = torch.cat([part.reshape(-1, 4) for part in parts])
    norms = input_norms({"a": layer}, read)["a"]
    torch.testing.assert_close(norms, states.norm(dim=0))
    gone = torch.zeros(3, 4, dtype=torch.bool)
    gone[:, 1] = True
    off = F.linear(states, layer.weight * gone).norm() / F.linear(states, layer.weight).norm()
    assert output_errors({"a": layer}, {"a": gone}, read)["a"] == pytest.approx(off.item())


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The summary of a run, and the folder of its result."""
    folder = tmp_path_factory.mktemp("prune")
    sealed(tiny_policy(), folder / "policy")
    rows = records(16)
    write_jsonl(folder / "prompts.jsonl", rows[:8])
    write_jsonl(folder / "held_out.jsonl", rows[8:])

    def run(**config):
        inputs = {name: f"../{name}" for name in ("policy", "prompts.jsonl", "held_out.jsonl")}
        inputs = {name.removesuffix(".jsonl"): path for name, path in inputs.items()}
        spec = RunSpec(kind="prune", run=1, epoch=1, config=SHORT | config, inputs=inputs)
        place = folder / f"run-{len(list(folder.iterdir()))}"
        place.mkdir()
        *_events, last = drive(spec, place)
        PruneResults.model_validate(last.summary)
        return dict(last.summary), place / "output"

    return run


@cases("pattern", ["rows", "layer", "two_of_four"])
@cases("method", ["wanda", "magnitude"])
def test_a_run_makes_a_plain_model_with_exactly_so_many_zeros(start, method, pattern):
    told = {} if pattern == "two_of_four" else {"sparsity": 0.25}
    summary, output = start(method=method, pattern=pattern, **told)
    share = 0.5 if pattern == "two_of_four" else 0.25
    tensors = load_file(output / "model.safetensors")
    for row in summary["layers"]:
        weight = tensors[f"{row['layer']}.weight"].T  # GPT-2's lie the other way
        assert (weight == 0).sum() == row["zeros"] == share * weight.numel()
        if pattern != "layer":
            size = 4 if pattern == "two_of_four" else weight.shape[1]
            assert ((weight == 0).reshape(-1, size).sum(1) == share * size).all()
    assert len(summary["layers"]) == 8  # and not the head
    assert summary["share_pruned"] == share
    assert summary["kl_token"]["value"] > 0
    assert all(check["holds"] for check in summary["checks"])
    assert Policy.load(output).device.type == "cpu"


def test_inputs_that_count_leave_smaller_errors_in_the_mean_of_the_layers(start):
    summary, _output = start(method="wanda", sparsity=0.5)
    assert summary["output_error"] < summary["error_by_magnitude"]


@pytest.mark.prove
@pytest.mark.foreign
@pytest.mark.parametrize("pattern", ["rows", "two_of_four"])
def test_so_they_do_in_the_mean_of_a_real_model_s_layers(pattern, tmp_path):
    folder = os.environ.get("REAL_MODEL", "")
    if not folder:
        pytest.skip("REAL_MODEL names no folder of a model")
    policy = Policy.load(Path(folder))
    config = PruneConfig(method="wanda", pattern=pattern)
    rows = [
        written(
            policy, [Message(role="user", content=f"What is {one}?")], f"{one}: a part of life."
        )
        for one in ("tea", "rain", "a law", "gold", "the sea", "a song", "bread", "time")
    ]
    layers = prunable(policy.model, config)
    norms = input_norms(layers, lambda: scored(policy, rows))
    wanda, plain = (
        output_errors(layers, pruned_weights(layers, config, one), lambda: scored(policy, rows))
        for one in (norms, None)
    )
    less = [plain[name] - wanda[name] for name in layers]
    assert len(less) > 100
    assert estimate(less).low > 0


def test_a_layer_that_a_pattern_does_not_fit_is_named():
    model = tiny_policy().model
    model.transformer.h[0].attn.c_attn = nn.Linear(18, 48)
    with pytest.raises(ConfigError, match="c_attn” reads 18 channels"):
        prunable(model, PruneConfig(pattern="two_of_four"))
    with pytest.raises(ValueError, match="does not read"):
        PruneConfig(pattern="two_of_four", sparsity=0.3)
