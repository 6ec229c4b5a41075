import json
import math
from itertools import product

import pytest
import torch

from alignment.evaluation.serving import as_served
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate import run as evaluation
from alignment.kinds.evaluate.results import EvaluateResults
from alignment.kinds.evaluate.run import estimable, evaluate, wins
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.estimators import log_mean_exp
from alignment.maths.overlap import exact_match
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of, written
from alignment.reward import RewardModel
from alignment.sampling.sampling import sample
from alignment.sampling.warps import Warp
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import SampleDrawn, StepDone
from alignment.seam.records import (
    Message,
    PromptRecord,
    Receipts,
    ScoredSample,
    StoredRecord,
    prompt_key,
    read_jsonl,
    write_jsonl,
)
from alignment.targets.targets import load_target, save_target
from tests.alignment.conftest import sealed, tiny_policy

WORDS = ["good", "bad", "day", "night", "sun", "rain"]
WEIGHED = 10  # prompts


@pytest.fixture(autouse=True, scope="module")
def fewer():
    """Fewer completions than an evaluation weighs, as every test here waits for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "TARGET_COMPLETIONS", 64)
        yield


@pytest.fixture(scope="module")
def prompts():
    turns = [(Message(role="user", content=f"{a} {b}"),) for a, b in product(WORDS, repeat=2)]
    return [PromptRecord(key=prompt_key(messages), messages=messages) for messages in turns]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prompts):
    """Two different policies, a reward model and prompts."""
    folder = tmp_path_factory.mktemp("evaluate")
    for seed, name in enumerate(("reference", "other")):
        sealed(tiny_policy(seed=seed), folder / name)
    torch.manual_seed(2)
    reward = RewardModel.fresh(folder / "reference")
    torch.nn.init.normal_(reward.head.weight, std=0.1)
    sealed(reward, folder / "reward")
    write_jsonl(folder / "prompts.jsonl", prompts)
    return folder


def run(folder, *, policy="reference", judge="utility", reward=True, answers=None, **config):
    names = {"policy": policy, "reference": "reference", "reward": "reward", "judge": "reward"}
    if judge != "held_out_labels":
        del names["judge"]
    if not reward:
        del names["reward"]
    inputs = {role: str(folder / name) for role, name in names.items()}
    inputs |= {"answers": str(answers)} if answers else {}
    config = {"max_new_tokens": 6, "judge": judge, "weighed_prompts": WEIGHED, **config}
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


def numbers(summary):
    """The values of the Estimates."""
    return {k: e["value"] for k, e in summary.items() if isinstance(e, dict) and "low" in e}


def covers(estimate, value):
    return estimate["low"] <= value <= estimate["high"]


def test_a_model_ties_with_itself(against_itself):
    assert covers(against_itself["win_rate"], 0.5)
    assert covers(against_itself["utility_gain"], 0)
    assert covers(against_itself["reward_gain"], 0)
    assert covers(against_itself["distinct_2_ratio"], 1)
    assert against_itself["kl_reference"]["value"] == pytest.approx(0, abs=1e-6)


def test_the_prompt_is_the_unit_of_every_interval(against_itself, prompts):
    counts = {name: e["n"] for name, e in against_itself.items() if name in numbers(against_itself)}
    of_target = {*evaluation.NEED_WEIGHTS, "ess_fraction", "pareto_shape"}
    assert {counts.pop(name) for name in of_target} == {WEIGHED}
    assert set(counts.values()) == {len(prompts)}


@pytest.mark.slow
def test_intervals_do_not_shrink_with_completions_of_the_same_prompts(folder):
    widths = []
    for count in (2, 18):
        reward = run(folder, completions_per_prompt=count)[-1].summary["reward_before"]
        widths.append(reward["high"] - reward["low"])
    assert widths[1] > widths[0] / 3  # pooled samples would give a third


def test_a_policy_is_measured_as_it_will_be_served_too(folder, against_itself):
    served = {"repetition_penalty": 1.2, "stop_strings": "sun|rain|day"}
    summary = run(folder, **served)[-1].summary
    assert covers(summary["win_rate"], 0.5)
    assert summary["kl_reference"]["value"] == pytest.approx(0, abs=1e-6)
    assert summary["length_served"]["value"] < summary["length_after"]["value"]
    assert summary["win_rate_served"]["n"] == summary["win_rate"]["n"]
    of_target = {f"{name}_served" for name in (*evaluation.NEED_WEIGHTS, "entropy")}
    assert not of_target & summary.keys()  # of what is cut away nobody knows how far it is
    assert "win_rate_served" not in against_itself


def test_what_is_served_is_read_without_what_stopped_it(folder, prompts):
    policy = Policy.load(folder / "reference")
    rows = [written(policy, one.messages, "day sun") for one in prompts[:2]]
    drawn, texts = rollouts_of(policy, rows), ["day", "day"]
    read = as_served(policy, drawn, prompts[:2], texts, Warp(stops=(" sun",)))
    assert [policy.text(ids) for ids in read.completion_ids()] == texts
    assert as_served(policy, drawn, prompts[:2], texts, Warp(top_k=1)) is drawn


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
    ids = [policy.prompt_ids(p.messages) for p in prompts[:WEIGHED]]
    rollouts = sample(
        policy, ids, completions=500, max_new_tokens=6, generator=torch.Generator().manual_seed(9)
    )
    rewards = reward.score(policy, rollouts).view(len(ids), -1)
    expected = log_mean_exp(rewards / EvaluateConfig().beta).mean().item()
    assert against_itself["log_z"]["value"] == pytest.approx(expected, abs=0.1)


def test_the_gap_to_the_target_is_beta_times_log_z_less_the_objective(against_itself):
    s = numbers(against_itself)
    beta = EvaluateConfig().beta
    # J = beta E[log P / policy], the lower bound of beta log Z; KL(policy || target) from the same samples.
    assert s["alignment_gap"] == pytest.approx(beta * (s["log_z"] - s["elbo"]))
    assert s["alignment_gap"] == pytest.approx(beta * s["target_reverse_kl"])
    assert 0 < s["alignment_gap"] < beta * 3
    assert 0 < s["divergence"] == s["target_jensen_shannon"] < 0.5


@pytest.mark.parametrize(("ess", "known"), [(0.05, False), (0.3, False), (0.4, True)])
def test_log_z_needs_a_tenth_of_the_samples_and_twenty(ess, known):
    assert estimable([ess] * 32) is known


def test_a_few_prompts_with_uneven_weights_are_let_pass():
    assert estimable([0.5] * 29 + [0.02] * 3)
    assert not estimable([0.9] * 16 + [0.02] * 16)  # which are even enough on average


def test_what_cannot_be_estimated_has_no_interval(monkeypatch, folder):
    monkeypatch.setattr(evaluation, "LEAST_ESS", 1.1)
    summary = run(folder)[-1].summary
    assert summary["log_z"]["low"] is None
    assert summary["divergence"]["high"] is None
    assert summary["ess_fraction"]["low"] is not None  # which says why
    assert summary["reward_after"]["low"] is not None


def test_a_win_is_one_a_tie_half_and_a_loss_nothing():
    assert wins(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 2.0]])).tolist() == [[1, 0, 1, 0.5]]


@pytest.fixture
def aimed(folder, tmp_path):
    """Evaluates the other policy as if it had been aimed at a target."""

    def start(settings, lambdas=(), *, reward=True, **config):
        save_target(AlignConfig(**settings), lambdas, folder / "other")
        try:
            return run(folder, policy="other", reward=reward, **config)[-1].summary
        finally:
            (folder / "other" / "target.json").unlink()

    return start


def test_a_policy_is_measured_by_what_it_was_aimed_at(aimed, against_other):
    plain = against_other[-1].summary
    other = aimed({"beta": 0.7, "divergence": "total_variation"}, judge="held_out_labels")
    assert (other["beta"], other["divergence_name"]) == (0.7, "total_variation")
    assert (plain["beta"], plain["divergence_name"]) == (0.35, "jensen_shannon")
    assert other["divergence"]["value"] == other["target_total_variation"]["value"]
    assert other["log_z"]["value"] != plain["log_z"]["value"]
    assert other["reward_gain"] == plain["reward_gain"]


def test_objectives_beside_f_dpg_minimise_reverse_kl(aimed):
    found = aimed({"objective": "rloo"})
    assert found["divergence_name"] == "reverse_kl"
    assert found["divergence"]["value"] == found["target_reverse_kl"]["value"]


def test_rules_are_part_of_the_reward(aimed):
    """A reward of words alone is what the answers' texts say."""
    found = aimed({"reward_weight": 0, "more_rules": "2 words"}, reward=False)
    counted = found["reward_after"]["value"] / 2
    assert 0 < counted < found["length_after"]["value"]


def test_constraints_and_wished_means_are_measured(aimed):
    target = {"reward_weight": 0, "must_contain": "sun", "soften": 0.2, "more_wishes": "3 words"}
    found = aimed(target, [0.1], reward=False)
    assert 0 < found["constraints_met_after"]["value"] < 1
    assert {"feature_words_before", "feature_words_after"} <= set(found)
    assert not {"reward_after", "reward_gain"} & set(found)
    assert found["alignment_gap"]["value"] > 0


def test_prompts_without_an_answer_in_the_target_are_left_out(aimed):
    found = aimed({"reward_weight": 0, "must_contain": "good bad"}, reward=False)
    assert found["log_z"]["n"] < found["ess_fraction"]["n"] == WEIGHED
    assert found["log_z"]["low"] is None
    assert all(math.isfinite(value) for value in numbers(found).values())
    assert "pareto_shape" not in found  # a few weights that are not 0 have no tail to fit


def test_a_target_that_no_answer_meets_is_no_number(aimed, folder):
    found = aimed({"reward_weight": 0, "must_contain": "no such words"}, reward=False)
    assert "log_z" not in found
    assert found["constraints_met_after"]["value"] == 0
    json.dumps(found, allow_nan=False)
    json.loads((folder / "output" / "scores.json").read_text(), parse_constant=pytest.fail)


def test_the_deployed_policy_is_measured_beside_the_trained_one(aimed):
    served = {"inference_weight": 0.5, "inference_temperature": 0.3, "inference_weights": "int8"}
    found = aimed(served)
    assert found["entropy_served"]["high"] < found["entropy_after"]["low"]
    assert found["divergence_served"]["value"] > 0
    assert "win_rate_served" in found


def test_a_reward_that_was_aimed_at_has_to_be_named(aimed):
    with pytest.raises(ConfigError, match="name the reward model"):
        aimed({}, reward=False)


def test_a_target_that_cannot_be_read_is_refused(folder, tmp_path):
    (tmp_path / "target.json").write_text('{"config": {"beta": "much"}}')
    with pytest.raises(DataError, match=r"target.json .* this version reads"):
        load_target(tmp_path)


@pytest.fixture
def known(folder, prompts, tmp_path):
    """What the first prompts should be answered: one word each, or another."""
    rows = [
        StoredRecord(prompt=prompt, completion=word)
        for prompt in prompts[:8]
        for word in ("good", "sun rain")
    ]
    write_jsonl(tmp_path / "answers.jsonl", rows)
    return tmp_path / "answers.jsonl"


def test_answers_are_held_against_known_ones(folder, prompts, known):
    summary = run(folder, policy="other", answers=known, known_answers="given", judge="none")[
        -1
    ].summary
    EvaluateResults.model_validate(summary)
    assert (
        summary["prompts_known"]
        == summary["exact_match_after"]["n"]
        == summary["bleu_gain"]["n"]
        == 8
    )
    for name in ("exact_match", "token_f1", "chrf", "bleu"):
        before, after, gain = (
            summary[f"{name}_{side}"]["value"] for side in ("before", "after", "gain")
        )
        assert gain == pytest.approx(after - before)
    texts = list(read_jsonl(folder / "output" / "samples.jsonl", ScoredSample))
    seen = [exact_match(s.after, ["good", "sun rain"]) for s in texts[:8]]
    assert summary["exact_match_after"]["value"] >= sum(seen) / 32
    again = run(folder, policy="other", judge="none")[-1].summary
    assert "exact_match_after" not in again
    assert again["kl_reference"] == summary["kl_reference"]


def test_known_answers_that_are_not_there_are_refused(folder, prompts, known):
    with pytest.raises(ConfigError, match="none are given"):
        run(folder, known_answers="given")
    write_jsonl(known, [])
    with pytest.raises(DataError, match="None of the 36 prompts has a known answer"):
        run(folder, answers=known, known_answers="given")


def test_an_evaluation_keeps_its_receipts(aimed, against_itself):
    found = Receipts.model_validate(aimed({"divergence": "le_cam"})["receipts"])
    assert found.good
    assert found.gradient < 1e-12
    assert 0 < found.mismatch < 1e-4
    never_aimed = Receipts.model_validate(against_itself["receipts"])
    assert never_aimed.gradient is None
    assert never_aimed.good


def test_models_of_other_tokens_are_not_compared(folder, tmp_path):
    other = tiny_policy(vocabulary=17)
    other.tokenizer.add_tokens(["snow"])
    other.save(folder / "foreign")
    with pytest.raises(ConfigError, match="different tokenizers"):
        run(folder, policy="foreign")


def test_a_reward_model_reads_prompts_of_both_templates(folder):
    """A policy that was fine-tuned with another template gets rewards of the same conversations."""
    policy = tiny_policy(seed=1)
    policy.tokenizer.chat_template = "{{ 'now ' }}{{ messages[-1]['content'] }}{{ ' day' }}"
    policy.save(folder / "templated")
    spec = RunSpec(
        kind="evaluate",
        run=1,
        epoch=1,
        config={"judge": "none", "weighed_prompts": WEIGHED},
        inputs={
            "policy": str(folder / "templated"),
            "reference": str(folder / "reference"),
            "reward": str(folder / "reward"),
        },
    )
    turns = (Message(role="user", content="sun rain"),)
    prompt = PromptRecord(key=prompt_key(turns), messages=turns)
    players = evaluation.load_players(spec, folder, EvaluateConfig(judge="none"), [prompt])
    rollouts = rollouts_of(players.policy, [written(players.policy, turns, "good")])
    reward = RewardModel.load(folder / "reward")
    expected = reward.score_texts([turns], ["good"])
    torch.testing.assert_close(players.target.reward(players.policy, rollouts), expected)
