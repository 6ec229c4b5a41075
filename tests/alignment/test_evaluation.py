import json
from itertools import product

import pytest
import torch

from alignment import evaluation
from alignment.config import EvaluateConfig, RunSpec
from alignment.errors import ConfigError
from alignment.estimators import log_mean_exp
from alignment.evaluation import estimable, evaluate, wins
from alignment.events import SampleDrawn, StepDone
from alignment.policies import Policy
from alignment.records import (
    Message,
    PromptRecord,
    ScoredSample,
    prompt_key,
    read_jsonl,
    write_jsonl,
)
from alignment.reward import RewardModel
from alignment.sampling import sample
from tests.alignment.conftest import tiny_policy

WORDS = ["good", "bad", "day", "night", "sun", "rain"]


@pytest.fixture(scope="module")
def prompts():
    turns = [(Message(role="user", content=f"{a} {b}"),) for a, b in product(WORDS, repeat=2)]
    return [PromptRecord(key=prompt_key(messages), messages=messages) for messages in turns]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prompts):
    """Two different policies, a reward model and prompts."""
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_policy(seed=0).save(folder / "reference")
    tiny_policy(seed=1).save(folder / "other")
    torch.manual_seed(2)
    (folder / "reward").mkdir()
    reward = RewardModel.fresh(folder / "reference")
    torch.nn.init.normal_(reward.head.weight, std=0.1)
    reward.save(folder / "reward")
    write_jsonl(folder / "prompts.jsonl", prompts)
    return folder


def run(folder, *, policy="reference", judge="utility", **config):
    names = {"policy": policy, "reference": "reference", "reward": "reward", "judge": "reward"}
    if judge != "held_out_labels":
        del names["judge"]
    inputs = {role: str(folder / name) for role, name in names.items()}
    config = {"max_new_tokens": 6, "judge": judge, **config}
    spec = RunSpec(
        kind="evaluate",
        run=1,
        epoch=1,
        config=config,
        inputs={**inputs, "prompts": str(folder / "prompts.jsonl")},
    )
    return list(evaluate(spec, folder))


@pytest.fixture(scope="module")
def against_itself(folder):
    return run(folder)[-1].summary


@pytest.fixture(scope="module")
def against_other(folder):
    return run(folder, policy="other", judge="held_out_labels")


def covers(estimate, value):
    return estimate["low"] <= value <= estimate["high"]


def test_a_model_ties_with_itself(against_itself):
    assert covers(against_itself["win_rate"], 0.5)
    assert covers(against_itself["utility_gain"], 0)
    assert covers(against_itself["reward_gain"], 0)
    assert covers(against_itself["distinct_2_ratio"], 1)
    assert against_itself["kl_reference"]["value"] == pytest.approx(0, abs=1e-6)


def test_the_prompt_is_the_unit_of_every_interval(against_itself, prompts):
    counts = {name: e["n"] for name, e in against_itself.items() if isinstance(e, dict)}
    of_target = {"log_z", "divergence", "alignment_gap", "ess_fraction"}
    assert {counts.pop(name) for name in of_target} == {evaluation.TARGET_PROMPTS}
    assert set(counts.values()) == {len(prompts)}


def test_intervals_do_not_shrink_with_completions_of_the_same_prompts(folder):
    widths = []
    for count in (2, 32):
        reward = run(folder, completions_per_prompt=count)[-1].summary["reward_before"]
        widths.append(reward["high"] - reward["low"])
    assert widths[1] > widths[0] / 4  # pooled samples would give a quarter


def test_another_policy_is_told_from_the_reference(against_other):
    summary = against_other[-1].summary
    assert summary["kl_reference"]["low"] > 0.1
    assert summary["judge"] == "held_out_labels"
    gain = summary["reward_after"]["value"] - summary["reward_before"]["value"]
    assert summary["reward_gain"]["value"] == pytest.approx(gain)


def test_a_judge_that_is_the_reward_model_agrees_with_it(against_other):
    summary = against_other[-1].summary
    assert summary["utility_gain"]["value"] == pytest.approx(summary["reward_gain"]["value"])


def test_a_share_stays_a_share(against_itself):
    for name in ("win_rate", "truncated_before", "truncated_after", "ess_fraction"):
        assert 0 <= against_itself[name]["low"] <= against_itself[name]["high"] <= 1


def test_without_a_judge_nobody_wins(folder):
    assert not {"win_rate", "utility_gain"} & set(run(folder, judge="none")[-1].summary)


def test_a_missing_judge_is_refused(folder):
    spec = RunSpec(kind="evaluate", run=1, epoch=1, config={})
    with pytest.raises(ConfigError, match="none was given"):
        evaluation.load_players(spec, folder, EvaluateConfig(), [])


def test_the_output_folder_holds_scores_and_samples(against_other, folder, prompts):
    run(folder, policy="other", judge="held_out_labels")
    stored = json.loads((folder / "output/scores.json").read_text())
    assert stored == json.loads(json.dumps(against_other[-1].summary))
    samples = list(read_jsonl(folder / "output/samples.jsonl", ScoredSample))
    assert [s.prompt for s in samples] == prompts
    assert all(s.judge_after == pytest.approx(s.reward_after) for s in samples)


def test_samples_and_steps_are_reported(against_other):
    stages = [event.stage for event in against_other if isinstance(event, SampleDrawn)]
    steps = [event for event in against_other if isinstance(event, StepDone)]
    assert stages.count("before") == stages.count("after") == evaluation.SHOWN
    assert [event.step for event in steps] == list(range(1, steps[-1].total + 1))


def test_log_z_agrees_with_the_references_own_samples(folder, prompts, against_itself):
    policy, reward = Policy.load(folder / "reference"), RewardModel.load(folder / "reward")
    ids = [policy.prompt_ids(p.messages) for p in prompts[: evaluation.TARGET_PROMPTS]]
    rollouts = sample(
        policy, ids, completions=500, max_new_tokens=6, generator=torch.Generator().manual_seed(9)
    )
    rewards = reward.score(policy, rollouts).view(len(ids), -1)
    expected = log_mean_exp(rewards / EvaluateConfig().beta).mean().item()
    assert against_itself["log_z"]["value"] == pytest.approx(expected, abs=0.1)


def test_the_gap_to_the_target_is_beta_times_log_z_less_the_objective(against_itself):
    s = {name: e["value"] for name, e in against_itself.items() if isinstance(e, dict)}
    assert 0 < s["alignment_gap"] < EvaluateConfig().beta * 3
    assert 0 < s["divergence"] < 0.5


@pytest.mark.parametrize(("ess", "known"), [(0.05, False), (0.2, False), (0.4, True)])
def test_log_z_needs_a_tenth_of_the_samples_and_twenty(ess, known):
    assert estimable(ess) is known


def test_what_cannot_be_estimated_has_no_interval(monkeypatch, folder):
    monkeypatch.setattr(evaluation, "LEAST_ESS", 1.1)
    summary = run(folder)[-1].summary
    assert summary["log_z"]["low"] is None
    assert summary["divergence"]["high"] is None
    assert summary["reward_after"]["low"] is not None


def test_a_win_is_one_a_tie_half_and_a_loss_nothing():
    assert wins(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 2.0]])).tolist() == [[1, 0, 1, 0.5]]
