"""Targets add up, and what cannot go together is refused before anything runs."""

import math
import re

import pytest
import torch
from pydantic import ValidationError

from alignment.kinds.align.run import align, tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.run import evaluate
from alignment.kinds.settings.divergences import UNBOUNDED
from alignment.kinds.spec import RunSpec
from alignment.maths.divergences import DIVERGENCES
from alignment.models.policies import Policy
from alignment.objectives.problem import Problem, begin, prepare
from alignment.objectives.toy import outcomes
from alignment.reward import RewardModel
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import DataError
from alignment.seam.events import PhaseProgressed
from alignment.seam.records import write_jsonl
from alignment.targets.rules import contains, embedding_similarity
from alignment.targets.targets import load_target, of_texts, save_target, target_of, weighted
from tests.alignment.test_loop import SMALL, records, says_sun, weights

SUN = {"must_contain": "sun"}


@pytest.fixture
def everything(policy):
    """All completions of two tokens of one prompt, and which of them say "sun"."""
    every = outcomes([[3, 6]], vocabulary=16, length=2, ends=policy.ends)
    sun = policy.tokenizer.convert_tokens_to_ids("sun")
    return every, ((every.tokens == sun) & every.mask).any(1).double()


def energies(policy, rollouts, lambdas=(), **settings):
    target = target_of(AlignConfig(**settings), says_sun, policy)
    zero = torch.zeros(len(rollouts.prompts))
    return target.log_scores(zero, target.values(policy, rollouts), lambdas)


def test_a_hard_constraint_leaves_nothing_where_it_is_broken(policy, everything):
    every, sun = everything
    found = energies(policy, every, **SUN, reward_weight=0)
    assert found.exp().tolist() == sun.tolist()


def test_a_softened_constraint_leaves_its_share(policy, everything):
    every, sun = everything
    found = energies(policy, every, **SUN, soften=0.1, reward_weight=0)
    torch.testing.assert_close(found.exp(), 0.1 + 0.9 * sun)


def test_every_energy_adds_to_the_others(policy, everything):
    every, _ = everything
    alone = [
        energies(policy, every, beta=0.5),
        energies(policy, every, reward_weight=0, rule="words", rule_weight=-2, beta=0.5),
        energies(policy, every, reward_weight=0, must_match="^good", soften=0.2),
        energies(policy, every, (0.3,), reward_weight=0, length_mean=1.5),
    ]
    together = energies(
        policy,
        every,
        (0.3,),
        beta=0.5,
        rule="words",
        rule_weight=-2,
        must_match="^good",
        soften=0.2,
        length_mean=1.5,
    )
    assert all(part.std() > 0 for part in alone)
    torch.testing.assert_close(together, sum(alone))


def test_a_reward_of_weight_zero_is_not_asked(policy, everything):
    total = weighted([(0.0, lambda *_: 1 / 0), (3.0, says_sun)])
    torch.testing.assert_close(total(policy, everything[0]), 3 * says_sun(policy, everything[0]))


def test_rules_of_any_number_add_up(policy, everything):
    every, sun = everything
    more = {"more_rules": "2 contains sun; -0.5 words; 3 embedding_similarity sun rain"}
    found = energies(policy, every, reward_weight=0, rule="words", beta=1, **more)
    texts = [policy.text(ids) for ids in every.completion_ids()]
    cosines = embedding_similarity("sun rain", policy)(texts)
    counts = torch.tensor([len(text.split()) for text in texts])
    torch.testing.assert_close(found, 2 * sun + 0.5 * counts + 3 * cosines)


def test_what_a_policy_was_aimed_at_is_kept_beside_it(tmp_path):
    config = AlignConfig(**SUN)
    save_target(config, [0.1, -2 / 3], tmp_path)
    assert load_target(tmp_path) == (config, [0.1, -2 / 3])


def test_a_policy_that_was_never_aimed_says_nothing(tmp_path):
    assert load_target(tmp_path) is None
    save_target(AlignConfig(), [], tmp_path)
    assert load_target(tmp_path) == (AlignConfig(), [])


@pytest.mark.parametrize("name", UNBOUNDED)
def test_an_infinite_divergence_is_refused_with_a_hard_constraint(name):
    with pytest.raises(ValidationError, match="soften it, or take jensen_shannon, forward_kl"):
        AlignConfig(divergence=name, **SUN)
    assert AlignConfig(divergence=name, soften=0.1, **SUN).soften == 0.1


def test_alpha_is_refused_from_order_one_on():
    assert AlignConfig(divergence="alpha", alpha=0.9, **SUN).alpha == 0.9
    with pytest.raises(ValidationError, match="alpha is infinite"):
        AlignConfig(divergence="alpha", alpha=1.0, **SUN)


def test_the_refused_ones_are_those_of_infinite_cost():
    assert set(UNBOUNDED) == {n for n, d in DIVERGENCES.items() if d.limit == math.inf}


REFUSED = {
    "no regular expression": {"must_match": "("},
    "no text": {"rule": "contains"},
    "no example": {"rule": "similarity", "rule_text": " | "},
    "“lots words” is not a weight": {"more_rules": "2 contains sun; lots words"},
    "one of contains, matches": {"more_rules": "1 praise sun"},
    "“matches” has no text": {"more_rules": "1 matches"},
    "above 1 and below the completion length limit of 6": {"length_mean": 6, "max_new_tokens": 6},
    "the target is the reference itself": {"reward_weight": 0, "more_rules": "0 words"},
    "so its share is 1": {"must_contain": "The Sun", "share_of": "sun"},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_target_that_cannot_be_is_refused_with_the_settings(reason):
    with pytest.raises(ValidationError, match=reason):
        AlignConfig(**REFUSED[reason])


ALONE = {"sample_prompts": 0, "checkpoint_every": 1000}  # steps, and nothing beside them


def aligned(policy_folder, folder, seen=None, **settings):
    """A run without a reward model, by the trainer's own way in; its events, also as they come."""
    seen = [] if seen is None else seen
    write_jsonl(folder / "prompts.jsonl", records(6))
    inputs = {"policy": str(policy_folder), "reference": str(policy_folder)}
    spec = RunSpec(
        kind="align",
        run=1,
        epoch=1,
        config=SMALL | {"reward_weight": 0, "kl_budget": 999} | settings,
        inputs={**inputs, "prompts": "prompts.jsonl"},
    )
    for event in align(spec, folder):
        seen.append(event)
    return seen


@pytest.mark.slow
def test_a_policy_learns_a_hard_constraint(policy_folder, tmp_path):
    settings = ALONE | {"steps": 60, "reference_completions": 64, "must_contain": "sun"}
    events = aligned(policy_folder, tmp_path, **settings)
    met = [e.metrics["constraints/met"] for e in events if e.type == "step"]
    assert sum(met[-10:]) / 10 > 0.3 + sum(met[:10]) / 10
    assert events[-1].summary["constraints_met"]["value"] > 0.5


OUT_OF_REACH = {
    "No reference completion has the feature “phrase”": {"share_of": "snow"},
    "outside what the reference completions allow": {
        "length_mean": 1.1,
        "reference_completions": 2,
    },
    "too few to fit": {"length_mean": 5.75, "reference_completions": 4},
    "No reference completion meets the constraints": {"must_contain": "snow", "length_mean": 3},
}


@pytest.mark.parametrize("reason", OUT_OF_REACH)
def test_wished_means_out_of_reach_end_the_run_before_its_first_step(
    policy_folder, tmp_path, reason
):
    settings = {"reference_completions": 32} | OUT_OF_REACH[reason]
    events = []
    with pytest.raises(DataError, match=reason):
        aligned(policy_folder, tmp_path, seen=events, **settings)
    assert "phase" in {event.type for event in events}
    assert "step" not in {event.type for event in events}


@torch.no_grad()
def share_of_sun(folder):
    """The exact chance that a completion of two tokens has the phrase, mean over prompts."""
    policy = Policy.load(folder)
    ids = [policy.prompt_ids(record.messages) for record in records(6)]
    every = outcomes(ids, vocabulary=16, length=2, ends=policy.ends)
    said = of_texts(contains("sun"))(policy, every)
    return (completion_token_logps(policy.model, every).sum(1).exp() * said).sum().item() / 6


@pytest.mark.slow
def test_a_policy_reaches_a_wished_mean(policy_folder, tmp_path):
    settings = {"divergence": "reverse_kl", "max_new_tokens": 2, "reference_completions": 256}
    settings |= {"share_of": "sun", "share": 0.3, "steps": 40, "learning_rate": 6e-3}
    settings |= ALONE | {"prompts_per_step": 6, "completions_per_prompt": 32}
    summary = aligned(policy_folder, tmp_path, **settings)[-1].summary
    fit = summary["lambda_phrase"]
    assert summary["achieved_phrase"] == pytest.approx(0.3)
    assert fit["low"] < fit["value"] < fit["high"]
    assert load_target(tmp_path / "output")[1] == [fit["value"]]
    assert share_of_sun(policy_folder) < 0.05
    assert share_of_sun(tmp_path / "output") == pytest.approx(0.3, abs=0.08)
    assert "feature_phrase" in summary


def test_z_is_that_of_the_fitted_target(policy_folder):
    """Z_c = 1 + share_c (e^lambda - 1), and share_c e^lambda / Z_c is the wished mean on average."""
    settings = {"reference_completions": 128, "share_of": "sun", "share": 0.3, "reward_weight": 0}
    reference = Policy.load(policy_folder)
    config = AlignConfig(**SMALL | settings)
    problem = Problem(records(6), policy_folder, reference, says_sun, config, seed=5)
    state = begin(problem)
    prepare(problem, state)
    grown = math.exp(state.lambdas[0])
    z = [math.exp(state.known.z.log_z(record.key)) for record in problem.prompts]
    met = [(one - 1) / (grown - 1) * grown / one for one in z]
    assert sum(met) / 6 == pytest.approx(0.3)


def test_lambda_survives_a_pause(policy_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("alignment.objectives.problem.PROMPTS_AT_ONCE", 4)
    config = AlignConfig(
        **SMALL | {"reference_completions": 64, "steps": 2},
        rule="words",
        rule_weight=0.1,
        share_of="sun",
        share=0.3,
    )
    reference = Policy.load(policy_folder)
    problem = Problem(records(6), policy_folder, reference, says_sun, config, seed=5)
    list(tune(problem, tmp_path / "whole"))
    run = tune(problem, tmp_path / "parts")
    told = next(event for event in run if isinstance(event, PhaseProgressed))
    assert (told.done, told.total, told.unit) == (4, 6, "prompts")
    saved = tmp_path / "parts" / run.send("save").path
    list(tune(problem, tmp_path / "parts", resume=saved))
    first, second = weights(tmp_path / "whole/output"), weights(tmp_path / "parts/output")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_evaluation_measures_the_target_that_was_aimed_at(policy_folder, tmp_path):
    """An evaluation reads the target beside the policy: a hard constraint leaves no gap in nats."""
    aligned(policy_folder, tmp_path, steps=1, reference_completions=64, must_contain="sun")
    RewardModel.fresh(policy_folder).save(ensured(tmp_path / "reward"))
    write_jsonl(tmp_path / "prompts.jsonl", records(8))
    inputs = {"policy": "output", "reference": str(policy_folder), "reward": "reward"}
    inputs |= {"prompts": "prompts.jsonl"}
    config = {"max_new_tokens": 6, "judge": "none"}
    spec = RunSpec(kind="evaluate", run=1, epoch=1, config=config, inputs=inputs)
    summary = list(evaluate(spec, tmp_path))[-1].summary
    assert "alignment_gap" not in summary
    assert 0 < summary["log_z"]["value"] / math.log(0.1) < 2


def ensured(folder):
    folder.mkdir()
    return folder


def test_further_wished_means_are_features_of_their_own_names(policy, everything):
    every, sun = everything
    wishes = "0.5 contains sun; 0.2 contains sun.; 1.5 words; 0.1 embedding_similarity sun rain"
    config = AlignConfig(share_of="sun", more_wishes=wishes)
    target = target_of(config, says_sun, policy)
    names = [wish.name for wish in target.wishes]
    assert names == [
        "phrase",
        "contains_sun",
        "contains_sun_2",
        "words",
        "embedding_similarity_sun_rain",
    ]
    assert [wish.mean for wish in target.wishes] == [0.5, 0.5, 0.2, 1.5, 0.1]
    features = target.values(policy, every).features
    torch.testing.assert_close(features[:, 1], sun)
    words = torch.tensor([len(policy.text(ids).split()) for ids in every.completion_ids()])
    torch.testing.assert_close(features[:, 3], words.double())


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ("1 contains sun", "“contains sun” must be above 0 and below 1"),
        ("-2 embedding_similarity sun", "must be above -1 and below 1"),
        ("0 words", "“words” must be above 0"),
        ("few words", "is not a mean, one of"),
        ("0.5 matches (", "no regular expression"),
    ],
)
def test_a_mean_that_nothing_can_have_is_refused_with_the_settings(wish, reason):
    with pytest.raises(ValidationError, match=re.escape(reason)):
        AlignConfig(more_wishes=wish)
