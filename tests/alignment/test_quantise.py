"""Runs that keep a model in eight bits: what they make, what they say that it costs, how they go on."""

import json
import math

import pytest
import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.costs import cost_sentence, estimate_in_words
from alignment.kinds.generate.run import generate
from alignment.kinds.quantise.results import QuantiseResults
from alignment.kinds.quantise.settings import QuantiseConfig
from alignment.kinds.spec import RunSpec
from alignment.lab import calibration
from alignment.lab.changing import CHANGED
from alignment.lab.costs import count_steps
from alignment.lab.rounding import (
    computing,
    fitted_layers,
    lost,
    next_logps,
    outlying,
    rounded_layers,
    with_readings,
)
from alignment.models.forms.form import stored_layers
from alignment.models.forms.int8 import choice_of
from alignment.models.policies import Policy
from alignment.reward.labels import divided
from alignment.reward.model import RewardModel
from alignment.seam.errors import ConfigError
from alignment.seam.events import CheckpointSaved, Finished, Ready, StepDone, Stopped
from alignment.seam.folders import verify
from alignment.seam.records import CompletionRecord, PairRecord, read_jsonl, write_jsonl
from alignment.targets.targets import load_target, save_target
from alignment.trainer import drive
from tests.alignment.conftest import sealed, tiny_policy
from tests.alignment.test_loop import records

SHORT = {"max_new_tokens": 6, "held_out_prompts": 8, "prompts": 8, "completions_per_prompt": 2}
TIMED = {"speedup", "ms_before", "ms_after", "seconds"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A policy that says it was aimed at its reference with some rule, and a reward model."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed in (("policy", 0), ("reference", 1)):
        tiny_policy(seed=seed).save(folder / name)
    save_target(AlignConfig(reward_weight=0, share_of="sun", share=0.5), [0.3], folder / "policy")
    reward = RewardModel.fresh(folder / "policy")
    torch.nn.init.normal_(reward.head.weight, generator=torch.Generator().manual_seed(0))
    sealed(reward, folder / "judge")
    return folder


@pytest.fixture(scope="module")
def start(models, tmp_path_factory):
    """The events of a run in a folder of its own, which is asked to save after so many steps."""
    rows = records(16)

    def run(*roles, saved_after=0, resume=None, pairs=(), **config):
        folder = tmp_path_factory.mktemp("run")
        for name, some in (("prompts", rows[:8]), ("held_out", rows[8:])):
            write_jsonl(folder / f"{name}.jsonl", some)
        inputs = {role: str(models / role) for role in ("policy", *roles)}
        inputs |= {"prompts": "prompts.jsonl", "held_out": "held_out.jsonl"}
        if pairs:
            write_jsonl(folder / "pairs.jsonl", pairs)
            inputs["pairs"] = "pairs.jsonl"
        spec = RunSpec(
            kind="quantise", run=1, epoch=1, seed=3, config=SHORT | config, inputs=inputs,
            resume_from=resume,
        )  # fmt: skip
        events = []
        for event in drive(spec, folder):
            events.append(event)
            if isinstance(event, StepDone) and event.step == saved_after:
                (folder / "control.json").write_text(json.dumps({"stop": "save"}))
        return folder, events

    return run


@pytest.fixture(scope="module")
def measured(start):
    """A run that measures everything."""
    config = {"distance": "measured", "judge": "held_out_labels", "embeddings": True}
    return start("reference", "judge", **config)


def summary_of(events):
    assert isinstance(events[-1], Finished)
    return dict(events[-1].summary)


def test_the_result_is_a_model_in_eight_bits_that_answers_and_says_its_aim(measured, models):
    folder, _events = measured
    verify(folder / "output")
    policy = Policy.load(folder / "output")
    assert len(list(stored_layers(policy.model))) == 10
    assert load_target(folder / "output") == load_target(models / "policy")
    inputs = {"policy": "output", "prompts": "prompts.jsonl"}
    config = {"max_new_tokens": 4, "completions_per_prompt": 2}
    spec = RunSpec(kind="generate", run=1, epoch=1, config=config, inputs=inputs)
    (folder / "answers").mkdir()
    spec = spec.model_copy(
        update={"inputs": {"policy": "../output", "prompts": "../prompts.jsonl"}}
    )
    assert summary_of(list(generate(spec, folder / "answers")))["completions"] == 16
    found = list(read_jsonl(folder / "answers/output/completions.jsonl", CompletionRecord))
    assert all(math.isfinite(one.logps) for one in found)


def test_everything_is_measured_with_intervals_over_prompts(measured):
    summary = summary_of(measured[1])
    QuantiseResults.model_validate(summary)
    ready = next(event for event in measured[1] if isinstance(event, Ready))
    assert ready.total_steps == count_steps(8, 0, aimed=True)
    for name in ("kl_token", "kl_sequence", "perplexity_change", "win_rate", "greedy_same"):
        found = summary[name]
        assert found["n"] == 8, name
        assert found["low"] <= found["value"] <= found["high"], name
    assert 0 < summary["kl_token"]["value"] < 0.05
    assert abs(summary["perplexity_change"]["value"]) < 0.1
    ratio = summary["perplexity_after"]["value"] / summary["perplexity_before"]["value"]
    assert ratio - 1 == pytest.approx(summary["perplexity_change"]["value"])
    assert abs(summary["win_rate"]["value"] - 0.5) < 0.3
    assert abs(summary["divergence_change"]["value"]) < 0.2
    assert summary["divergence_name"] == "jensen_shannon"
    assert summary["speedup"]["n"] == 12
    ratio = summary["ms_before"]["value"] / summary["ms_after"]["value"]
    assert ratio == pytest.approx(summary["speedup"]["value"], rel=0.5)


def test_layers_bytes_and_receipts_are_told(measured):
    folder, events = measured
    summary = summary_of(events)
    kept = {row["layer"] for row in summary["layers"] if row["form"] == "INT8"}
    assert len(kept) == summary["layers_quantised"] == 9
    assert {"transformer.wpe", "transformer.ln_f"} <= {
        row["layer"] for row in summary["layers"] if row["form"] == "FP32"
    }
    weights = sum(row["weights"] for row in summary["layers"] if row["layer"] in kept)
    assert summary["bytes_after"] == (folder / "output/model.safetensors").stat().st_size
    stored = sum(row["bytes"] for row in summary["layers"] if row["layer"] in kept)
    assert summary["layer_bytes_ratio"] == pytest.approx(stored / (4 * weights))
    assert all(row["holds"] for row in summary["checks"])
    assert summary["largest_error"] <= 0.501
    assert summary["mismatch"] < 1e-4
    assert len(summary["answers"]) == 8


def test_one_sentence_says_what_it_costs_and_what_it_saves(measured):
    said = cost_sentence(summary_of(measured[1]))
    assert said.startswith("It costs ")
    for part in ("nats a token", "of divergence", "of perplexity", "a win rate of", "it saves"):
        assert part in said
    assert cost_sentence({}) == ""


@pytest.mark.parametrize(
    ("value", "low", "high", "percent", "told"),
    [
        (7.61e-5, 6.64e-5, 8.59e-5, False, "0.000076 (0.000066 … 0.000086)"),
        (2.42e-5, -3.49e-4, 3.97e-4, True, "0.002 % (-0.035 … 0.040)"),
        (-1e-9, -1.0, 1.0, False, "0.0 (-1.0 … 1.0)"),
        (250.3, 100.0, 400.0, False, "250 (100 … 400)"),
        (3e20, 1e20, 6e20, True, "3e+22 % (1e+22 … 6e+22)"),
        (1e306, 0.0, 1.7e308, True, "1e+308 % (0 … inf)"),
        (1e-30, 0.0, 2e-30, False, "1e-30 (0 … 2e-30)"),
        (0.5, 0.5, 0.5, True, "50 %"),
        (0.5, None, None, True, "50 %"),
        (0.5, 0.1, float("inf"), False, "0.5"),
    ],
)
def test_an_estimate_is_told_as_exactly_as_its_interval_allows(value, low, high, percent, told):
    estimate = {"value": value, "low": low, "high": high}
    assert estimate_in_words(estimate, percent=percent) == told


def test_a_run_that_was_saved_measures_the_same_from_there(start):
    _, whole = start(scheme="asymmetric")
    first, stopped = start(scheme="asymmetric", saved_after=1)
    assert isinstance(stopped[-1], Stopped)
    saved = next(event for event in stopped if isinstance(event, CheckpointSaved))
    folder, rest = start(scheme="asymmetric", resume=str(first / saved.path))
    ready = next(event for event in rest if isinstance(event, Ready))
    assert (ready.resumed_step, ready.bit_exact) == (1, True)
    assert (first / saved.path / CHANGED / "form.json").is_file()
    assert not (folder / CHANGED).exists()  # the result has become of it
    one, other = (summary_of(events) for events in (whole, rest))
    assert {n: v for n, v in one.items() if n not in TIMED} == {
        n: v for n, v in other.items() if n not in TIMED
    }
    assert Policy.load(folder / "output").model.lm_head.weight.dtype == torch.float32


def test_people_s_answers_measure_the_perplexity_where_there_are_some(start):
    pairs = [PairRecord(prompt=one, chosen="good day", rejected="bad") for one in records(30)]
    summary = summary_of(start(answers="chosen", pairs=pairs)[1])
    assert summary["perplexity_of"] == "people"
    assert summary["perplexity_change"]["n"] == len(divided(pairs, calibration.HELD_OUT)[1]) > 2
    assert [row["role"] for row in summary["rows"]] == ["prompts", "held_out", "pairs"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"answers": "chosen"}, "Name the snapshot"),
        ({"left_out": "transformer"}, "No layer is left"),
        ({"distance": "measured"}, "Name the reference"),
        ({"judge": "held_out_labels"}, "judge"),
    ],
)
def test_what_is_missing_is_said(start, config, reason):
    with pytest.raises(ConfigError, match=reason):
        start(**config)


@pytest.fixture
def policy(models):
    return Policy.load(models / "policy")


@pytest.fixture
def rows(policy):
    return calibration.own_answers(policy, records(8), 6, seed=0).rows


def test_layers_that_lose_too_much_stay_in_full_precision(policy, rows):
    layers = rounded_layers(choice_of(policy.model, embeddings=False), "symmetric")
    assert fitted_layers(policy, rows, layers, 1.0).dear == []
    known = next_logps(policy, rows)
    spoilt = "transformer.h.0.attn.c_proj"
    one = layers[spoilt]
    layers[spoilt] = one._replace(kept=one.kept._replace(scales=one.kept.scales * 30))
    assert lost(policy, rows, known, layers) > 0.02
    found = fitted_layers(policy, rows, layers, 0.02)
    assert found.dear[0] == spoilt
    assert set(found.layers) == set(layers) - set(found.dear)
    assert all(one.reading.parts == 2 for one in found.layers.values())


def test_a_channel_that_is_far_larger_than_others_is_read_apart(policy, rows):
    assert outlying(torch.tensor([1.0] * 15 + [9.0])) == (15,)
    assert outlying(torch.tensor([1.0] * 15 + [1.9])) == ()
    norm = policy.model.transformer.h[0].ln_1
    norm.weight.data[3], norm.bias.data[3] = 100, 100
    layers = rounded_layers(choice_of(policy.model, embeddings=True), "symmetric")
    found = with_readings(policy, rows, layers).layers
    assert found["transformer.h.0.attn.c_attn"].reading.apart == (3,)
    assert found["transformer.h.1.attn.c_attn"].reading.apart == ()
    norm.bias.data[3:6] = torch.tensor([100.0, -100.0, 100.0])  # more than can be apart
    policy.model.transformer.h[0].attn.c_attn.weight.data[3:6] = 0
    found = with_readings(policy, rows, layers).layers
    assert found["transformer.h.0.attn.c_attn"].reading.parts == 2


def test_a_tried_model_is_as_it_was(policy):
    layers = rounded_layers(choice_of(policy.model, embeddings=True), "symmetric")
    before = dict(policy.model.named_modules())
    with computing(policy, layers):
        assert len(list(stored_layers(policy.model))) == 10
    assert dict(policy.model.named_modules()) == before


def test_layers_are_left_out_by_parts_of_their_names(start):
    summary = summary_of(start(left_out="h.0., c_proj")[1])
    kept = [row["layer"] for row in summary["layers"] if row["form"] == "INT8"]
    assert kept == ["transformer.h.1.attn.c_attn", "transformer.h.1.mlp.c_fc"]


def test_the_settings_say_what_nothing_reads():
    assert QuantiseConfig().scheme == "symmetric"
    with pytest.raises(ValueError, match="scheme"):
        QuantiseConfig(scheme="cubic")
