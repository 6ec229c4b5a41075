"""LoRA: thin matrices beside frozen layers, one model for policy and reference, a whole result."""

import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from pydantic import ValidationError
from safetensors.torch import load_file

from alignment.kinds.align.run import read_problem, tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.settings.adapters import FitAdapterSettings as _Settings
from alignment.kinds.settings.computation import ComputationSettings
from alignment.kinds.spec import RunSpec
from alignment.models.lora import (
    adapted,
    dropping,
    kept_adapter,
    merged,
    shared,
    size_of,
    trained,
)
from alignment.models.policies import Policy
from alignment.objectives.problem import begin, prepare
from alignment.objectives.result import choose_result
from alignment.objectives.steps import train_step
from alignment.objectives.toy import outcomes
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.events import StepDone
from alignment.seam.records import write_jsonl
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_loop import (
    FEW,
    continues,
    exact_divergence,
    of,
    paused,
    problems,
    records,
)

RANK = {"lora_rank": 4}


class FitAdapterSettings(ComputationSettings, _Settings):
    """Those of an adapter, with its rank."""


@pytest.fixture
def problem(policy_folder):
    """Makes a problem whose policy and reference are one model."""

    def make(**settings):
        one = problems(policy_folder)(**RANK, **settings)
        return replace(one, reference=shared(one.reference))

    return make


def test_an_adapter_is_no_part_of_the_size_of_the_model_it_becomes_part_of():
    policy, handle = adapted(tiny_policy(), 4, seed=0)
    plain = tiny_policy().model.num_parameters()
    assert size_of(policy.model) == plain < policy.model.num_parameters()
    assert size_of(merged(policy, handle).model) == plain


@torch.no_grad()
def logps(policy):
    every = outcomes([[3, 6], [3, 7]], vocabulary=16, length=2, ends=policy.ends)
    return completion_token_logps(policy.model, every)


def some_adapter(policy):
    """An adapter that has learned something."""
    policy, handle = adapted(policy, 4, seed=0)
    for name, weight in trained(policy.model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return policy, handle


def test_a_new_adapter_adds_nothing_and_alone_is_trained(policy):
    before = logps(policy)
    found, _ = adapted(policy, 4, seed=0)
    torch.testing.assert_close(logps(found), before, atol=0, rtol=0)
    names = trained(found.model)
    assert names
    assert all("lora_" in name for name in names)
    assert {weight.shape[0] for name, weight in names.items() if "lora_A" in name} == {4}


def test_merged_it_says_what_the_adapter_said(policy, tmp_path):
    before = logps(policy)
    found, handle = some_adapter(policy)
    expected = logps(found)
    assert (expected - before).abs().max() > 0.1
    merged(found, handle).save(tmp_path / "whole")
    whole = Policy.load(tmp_path / "whole")
    torch.testing.assert_close(logps(whole), expected, atol=1e-5, rtol=0)
    assert set(whole.model.state_dict()) == set(tiny_policy().model.state_dict())


def test_the_reference_is_the_same_model_with_its_adapter_off(policy):
    reference = shared(policy)
    before = logps(reference)
    found, _ = some_adapter(reference)
    torch.testing.assert_close(logps(reference), before, atol=0, rtol=0)
    assert (logps(found) - before).abs().max() > 0.1
    assert all(weight.requires_grad for weight in trained(found.model).values())
    places = {weight.data_ptr() for weight in reference.model.parameters()}
    assert {weight.data_ptr() for weight in found.model.parameters()} == places


def test_a_run_learns_by_its_adapter_and_makes_a_whole_model(problem, tmp_path):
    one = problem(**FEW | {"objective": "rloo", "beta": 0.05, "learning_rate": 1e-2, "steps": 25})
    before = exact_divergence(one, one.start)
    rewards = [e.metrics["reward/mean"] for e in of(list(tune(one, tmp_path)), StepDone)]
    assert sum(rewards[-5:]) > 3 * sum(rewards[:5])
    fresh = replace(one, reference=Policy.load(one.start))  # the shared one has the adapter merged
    assert exact_divergence(fresh, tmp_path / "output") < 0.6 * before


def test_a_checkpoint_holds_the_adapter_alone(problem, tmp_path):
    folder = paused(problem(sample_prompts=0), tmp_path, 2)
    assert not (folder / "policy").exists()
    names = set(load_file(folder / "state.safetensors"))
    kept = [name for name in names if name.startswith(("adapter/", "measured/"))]
    assert kept
    assert all("lora_" in name for name in kept)


def test_a_saved_run_continues_bit_by_bit(policy_folder, tmp_path):
    def make():
        one = problems(policy_folder)(**RANK, sample_prompts=0, steps=6)
        return replace(one, reference=shared(one.reference))

    continues(make, tmp_path, 3)


def test_past_its_budget_it_goes_back_to_the_start(problem):
    one = problem(kl_budget=1e-9, sample_prompts=0)
    state = begin(one)
    prepare(one, state)
    train_step(one, state)
    state.measured = {name: weight.clone() for name, weight in trained(state.policy.model).items()}
    before = logps(one.reference)
    assert (logps(state.policy) - before).abs().max() > 0
    assert choose_result(one, state)["stopped_by"] == "kl_budget"
    torch.testing.assert_close(logps(state.policy), before, atol=0, rtol=0)


@pytest.mark.parametrize("same", [True, False])
def test_one_artifact_for_both_is_loaded_once(policy_folder, tmp_path, same):
    (tmp_path / "other").mkdir()
    Policy.load(policy_folder).save(tmp_path / "other")
    write_jsonl(tmp_path / "prompts.jsonl", records(2))
    reference = policy_folder if same else tmp_path / "other"
    inputs = {
        "policy": policy_folder,
        "reference": reference,
        "prompts": tmp_path / "prompts.jsonl",
    }
    config = AlignConfig(**RANK, reward_weight=0, rule="words", max_new_tokens=6)
    told = {
        "config": json.loads(config.model_dump_json()),
        "inputs": {k: str(v) for k, v in inputs.items()},
    }
    one = read_problem(RunSpec(kind="align", run=1, epoch=1, **told), tmp_path, config)
    state = begin(one)
    places = {weight.data_ptr() for weight in one.reference.model.parameters()}
    mine = {weight.data_ptr() for weight in state.policy.model.parameters()}
    assert bool(places & mine) is same


def one_layer(how, rank=4):
    """The policy with an adapter of these settings, and one of its layers."""
    policy, handle = adapted(tiny_policy(), rank, 0, FitAdapterSettings(lora_rank=rank, **how))
    layers = [m for m in policy.model.modules() if isinstance(m, LoraLayer)]
    return policy, handle, layers


@pytest.mark.parametrize(
    ("how", "scale"),
    [({}, 2), ({"lora_alpha": 12}, 3), ({"lora_alpha": 12, "rslora": True}, 6)],
    ids=["usual", "alpha", "rsLoRA"],
)
def test_what_an_adapter_adds_is_scaled_as_asked(how, scale):
    *_, layers = one_layer(how)
    assert {layer.scaling["default"] for layer in layers} == {scale}


@pytest.mark.parametrize(("targets", "part"), [("attention", "attn"), ("mlp", "mlp")])
def test_an_adapter_sits_beside_the_layers_that_are_asked_for(targets, part):
    policy, *_ = one_layer({"lora_targets": targets})
    names = [name for name in trained(policy.model) if "lora_A" in name]
    assert len(names) == 4
    assert all(f".{part}." in name for name in names)


def test_dropout_works_while_it_learns_alone_and_always_the_same(policy):
    found, _handle, _layers = one_layer({"lora_dropout": 0.5})
    for _name, weight in trained(found.model).items():
        torch.nn.init.normal_(weight, std=0.3)
    plain = logps(found)
    state = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        with dropping(found.model, seed):
            drawn.append(logps(found))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(logps(found), plain)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_adapter_kept_apart_is_what_peft_reads(policy, tmp_path):
    found, handle = some_adapter(policy)
    expected = logps(found)
    kept_adapter(handle).save(tmp_path)
    read = PeftModel.from_pretrained(tiny_policy().model, str(tmp_path / "adapter")).eval()
    again = replace(found, model=read.get_base_model())
    torch.testing.assert_close(logps(again), expected, atol=1e-6, rtol=0)
    told = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert json.loads(told)["base_model_name_or_path"] is None


def test_a_run_keeps_its_adapter_beside_the_whole_model(problem, tmp_path):
    one = problem(keep_adapter=True, sample_prompts=0, steps=2)
    list(tune(one, tmp_path))
    assert (tmp_path / "output" / "adapter" / "adapter_model.safetensors").is_file()
    base = PeftModel.from_pretrained(
        Policy.load(one.start).model, str(tmp_path / "output" / "adapter")
    ).eval()
    whole, ids = Policy.load(tmp_path / "output"), torch.arange(16)[None]
    torch.testing.assert_close(base(ids).logits, whole.model(ids).logits, atol=1e-5, rtol=0)


def test_an_adapter_is_not_served_in_int8():
    with pytest.raises(ValidationError, match="train all weights"):
        AlignConfig(lora_rank=4, inference_weight=1, inference_weights="int8")
