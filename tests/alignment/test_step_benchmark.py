"""The benchmark of a step at a size that takes seconds."""

from dataclasses import replace

import pytest
import torch

from alignment.models.policies import Policy
from alignment.sampling.sampling import sample
from benchmarks import floor, gpu, scenes, step
from tests.cases import cases


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    found = scenes.fixed(scenes.Size(1, 32), tmp_path_factory.mktemp("model"))
    return replace(found, prompts=found.prompts[:16])


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    found = scenes.llama(scenes.Size(1, 64), tmp_path_factory.mktemp("model"))
    return replace(found, prompts=found.prompts[:4])


def asked_of(scene, lora=0):
    return step.Asked(scene, prompts=2, completions=2, longest=4, lora=lora)


@cases(("kind", "lora"), [("scene", 0), ("llama", 0), ("llama", 2)])
def test_the_floor_computes_what_the_model_does(kind, lora, request):
    scene = request.getfixturevalue(kind)
    policy = Policy.load(scene.model)
    prompts = [[5, 6], [7, 8, 9, 10, 11]]
    lengths = torch.tensor([3, 1, 4, 2])
    network = step.floor_of(asked_of(scene, lora)).policy
    drawn = floor.generate(network, prompts, 2, lengths)
    assert drawn.tokens.shape == (4, 4)
    for batch in floor.batches(prompts, 2, drawn.tokens, lengths):
        logps = floor.completion_logps(network, batch)
        torch.testing.assert_close(logps, drawn.logps[batch.rows].sum(1), atol=1e-4, rtol=0)
        for row, logp in zip(batch.rows.tolist(), logps, strict=True):
            ids = prompts[row // 2] + drawn.tokens[row, : lengths[row]].tolist()
            found = policy.model(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
            each = found.gather(1, torch.tensor(ids[1:])[:, None])[-lengths[row] :]
            torch.testing.assert_close(logp, each.sum(), atol=1e-4, rtol=0)


def test_the_floor_moves_its_policy(scene):
    weights = Policy.load(scene.model).model.state_dict()
    moved = floor.Floor.of(weights, 1, 1, 1e-3)
    moved.step([[5, 6], [7, 8]], torch.tensor([2, 3, 2, 3]), step.reward, 0.05)
    assert not torch.equal(moved.policy.tokens, moved.reference.tokens)


@pytest.mark.slow
def test_steps_are_timed_against_the_floor_and_positions_are_counted(scene, monkeypatch):
    monkeypatch.setattr(step, "WARMUP", 1)
    asked = step.Asked(scene)
    pairs = step.against_floor(asked, pairs=2)
    assert len(pairs) == 2
    assert all(seconds > 0 for pair in pairs for seconds in pair)
    assert step.pass_closeness(asked) >= 0.98


def test_an_adapter_is_all_that_the_floor_trains(llama):
    moved = step.floor_of(asked_of(llama, lora=2))
    before = [weight.clone() for weight in moved.policy.parameters()]
    assert sum(weight.numel() for weight in before) < moved.policy.tokens.numel() / 8
    moved.step([[5, 6], [7, 8]], torch.tensor([2, 3, 2, 3]), step.reward, 0.05)
    ups = [*zip(before, moved.policy.parameters(), strict=True)][1::2]
    assert not any(torch.equal(*pair) for pair in ups)


def test_a_llama_with_an_adapter_is_timed_against_its_floor_and_generate(llama, monkeypatch):
    monkeypatch.setattr(step, "WARMUP", 0)
    monkeypatch.setattr(step, "SAMPLED", (2, 2, 3))
    asked = asked_of(llama, lora=2)
    assert all(seconds > 0 for seconds in step.against_floor(asked, pairs=1)[0])
    assert all(seconds > 0 for seconds in step.sampling_alone(asked, pairs=1)[0])
    assert step.pass_closeness(asked) >= 0.98


def test_generate_draws_what_the_policy_would(scene):
    policy = Policy.load(scene.model)
    generator = torch.Generator().manual_seed(1)
    options = {"completions": 2, "max_new_tokens": 3, "generator": generator}
    theirs = step.generated(policy, [[5, 6], [7, 8, 9]], **options)
    ours = sample(policy, [[5, 6], [7, 8, 9]], **options)
    assert theirs.prompts == ours.prompts
    assert theirs.tokens.shape == ours.tokens.shape
    assert bool(theirs.mask.all())
    assert bool(theirs.truncated.all())


def test_a_ratio_is_of_medians_within_its_interval():
    found = step.ratio([(2.0, 1.0), (3.0, 1.5), (8.0, 4.0)])
    assert found["value"] == 2.0
    assert found["low"] <= 2.0 <= found["high"]


def test_a_large_model_s_variants_run_where_they_can(scene, monkeypatch):
    monkeypatch.setattr(gpu, "WARMUP", 0)
    found = gpu.variant(scene, gpu.VARIANTS["lora_checkpointing"], steps=1)
    assert found["tokens_per_s"] > 0
    assert torch.cuda.is_available() or gpu.variant(scene, {"compile": True}, 1) == "not run"
