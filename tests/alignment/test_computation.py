"""Precision, recomputed activations and compilation change how a model computes, not what."""

import json
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from transformers import OPTConfig, OPTForCausalLM

from alignment.kinds.align.run import read_problem, tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.spec import RunSpec
from alignment.models.computation import (
    check_device,
    compiled,
    computes_in_bf16,
    in_bf16,
    recompute,
    set_up,
)
from alignment.models.lora import adapted, shared
from alignment.models.policies import Policy
from alignment.objectives.toy import outcomes
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError
from alignment.seam.events import Finished, StepDone
from alignment.seam.records import write_jsonl
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_loop import FEW, continues, exact_divergence, of, problems, records

PROMPTS = [[3, 6], [3, 7, 8, 9]]


@pytest.fixture
def problem(policy_folder):
    """Makes a problem whose reference computes as its policy does."""

    def make(**settings):
        one = problems(policy_folder)(**settings)
        set_up(one.reference, one.config, backward=False)
        return one

    return make


def every_logp(policy):
    every = outcomes([[3, 6], [3, 7]], vocabulary=16, length=2, ends=policy.ends)
    return completion_token_logps(policy.model, every)


def gradients(policy):
    policy.model.zero_grad()
    (every_logp(policy).exp().sum()).backward()
    return [w.grad.clone() for w in policy.model.parameters() if w.grad is not None]


def test_bf16_gives_logits_in_fp32_near_those_of_fp32(policy):
    with torch.no_grad():
        before = every_logp(policy)
        in_bf16(policy.model)
        after = every_logp(policy)
        logits = policy.model(torch.tensor([[3, 6]])).logits
    assert computes_in_bf16(policy.model)
    assert logits.dtype == after.dtype == torch.float32
    assert 1e-5 < (after - before).abs().max() < 0.2
    assert next(policy.model.parameters()).dtype == torch.float32


def test_in_bf16_sampler_and_scorer_still_agree(policy, generator):
    in_bf16(policy.model)
    drawn = sample(policy, PROMPTS, completions=6, max_new_tokens=8, generator=generator)
    with torch.no_grad():
        scored = completion_token_logps(policy.model, drawn)
    assert (scored - drawn.token_logps).abs().max() < 0.1


def test_a_model_of_doubles_stays_exact(policy):
    policy.model.double()
    with torch.no_grad():
        before = every_logp(policy)
        in_bf16(policy.model)
        torch.testing.assert_close(every_logp(policy), before, atol=1e-12, rtol=0)


def test_a_run_in_bf16_learns_and_keeps_its_contract(problem, tmp_path):
    one = problem(**FEW, precision="bf16")
    before = exact_divergence(one, one.start)
    events = list(tune(one, tmp_path))
    rewards = [event.metrics["reward/mean"] for event in of(events, StepDone)]
    assert sum(rewards[-5:]) > 3 * sum(rewards[:5])
    assert exact_divergence(one, tmp_path / "output") < 0.4 * before
    told = of(events, Finished)[0].summary["receipts"]
    assert told["mismatch"] < told["tolerance"] == 0.1
    assert abs(of(events, StepDone)[0].metrics["kl/reference"]) < 0.02


def test_a_saved_run_in_bf16_with_recomputed_activations_continues(problem, tmp_path):
    how = {"precision": "bf16", "gradient_checkpointing": True}
    continues(lambda: problem(**how, sample_prompts=0, steps=6), tmp_path, 3)


def test_recomputed_activations_give_the_same_gradient(policy):
    calls = []
    block = policy.model.transformer.h[0]
    plain = gradients(policy)
    block.attn.register_forward_pre_hook(lambda *_: calls.append(1))
    gradients(policy)
    once = len(calls)
    recompute(policy.model)
    for found, expected in zip(gradients(policy), plain, strict=True):
        torch.testing.assert_close(found, expected, atol=0, rtol=0)
    assert len(calls) == 3 * once
    assert not any(module.training for module in policy.model.modules())


def test_the_sampler_keeps_its_cache_beside_recomputed_activations(policy, generator):
    start = generator.get_state()
    expected = sample(policy, PROMPTS, completions=2, max_new_tokens=6, generator=generator)
    recompute(policy.model)
    generator.set_state(start)
    found = sample(policy, PROMPTS, completions=2, max_new_tokens=6, generator=generator)
    assert torch.equal(found.token_logps, expected.token_logps)


def test_an_adapter_learns_through_recomputed_activations(policy):
    found, _ = adapted(policy, 4, seed=0)
    plain = gradients(found)
    assert plain
    recompute(found.model)
    for one, other in zip(gradients(found), plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)  # one by our own reader


@pytest.mark.prove
@torch.no_grad()
def test_compiled_forwards_give_the_same_log_probabilities_and_decoding_is_none(policy, generator):
    graphs = []
    expected = every_logp(policy)
    compiled(policy.model, backend=lambda graph, _: graphs.append(graph) or graph.forward)
    sample(policy, PROMPTS, completions=2, max_new_tokens=6, generator=generator)
    assert not graphs
    torch.testing.assert_close(every_logp(policy), expected)
    assert graphs


@pytest.mark.gpu
def test_a_run_compiles_on_a_gpu(policy_folder, tmp_path):
    one = problems(policy_folder)(**FEW, compile=True, precision="bf16")
    set_up(one.reference, one.config, backward=False)
    rewards = [e.metrics["reward/mean"] for e in of(list(tune(one, tmp_path)), StepDone)]
    assert sum(rewards[-5:]) > 3 * sum(rewards[:5])


def test_compiling_is_refused_without_a_gpu():
    with pytest.raises(ConfigError, match="turn it off"):
        check_device(AlignConfig(compile=True), torch.device("cpu"))
    check_device(AlignConfig(), torch.device("cpu"))


def test_a_value_head_is_not_compiled():
    with pytest.raises(ValidationError, match="ppo does not read “Compile”"):
        AlignConfig(objective="ppo", compile=True)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_run_sets_its_policy_and_its_reference_up_alike(policy_folder, tmp_path, rank):
    write_jsonl(tmp_path / "prompts.jsonl", records(2))
    inputs = {"policy": policy_folder, "reference": policy_folder, "prompts": "prompts.jsonl"}
    config = AlignConfig(
        precision="bf16", lora_rank=rank, reward_weight=0, rule="words", steps=1, warmup=0,
        prompts_per_step=2, completions_per_prompt=2, max_new_tokens=4, reference_completions=2,
    )  # fmt: skip
    told = json.loads(config.model_dump_json())
    spec = RunSpec(
        kind="align", run=1, epoch=1, config=told, inputs={k: str(v) for k, v in inputs.items()}
    )
    one = read_problem(spec, tmp_path, config)
    events = list(tune(one, tmp_path))
    assert computes_in_bf16(one.reference.model)
    assert of(events, StepDone)[0].metrics["kl/reference"] == pytest.approx(0, abs=0.02)


def test_a_model_is_set_up_once(policy):
    config = AlignConfig(precision="bf16")
    first = set_up(policy, config, backward=False).model.forward
    assert set_up(policy, config, backward=True).model.forward is first
    both = shared(Policy(tiny_policy().model, policy.tokenizer))
    set_up(both, config, backward=False)
    assert not computes_in_bf16(both.model)
    set_up(replace(both, model=both.model.base), config, backward=True)
    assert computes_in_bf16(both.model)


def test_recomputing_drops_nothing_where_a_block_asks_the_function_itself(generator):
    """OPT's blocks have no module for their dropout, and are in training mode while they recompute."""
    config = OPTConfig(
        vocab_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=32,
        word_embed_proj_dim=32,
        max_position_embeddings=32,
        dropout=0.5,
        attention_dropout=0.5,
    )
    policy = replace(tiny_policy(), model=OPTForCausalLM(config).eval())
    before = every_logp(policy)
    recompute(policy.model)
    torch.testing.assert_close(every_logp(policy), before)
    assert before.requires_grad
