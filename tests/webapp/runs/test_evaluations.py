import pytest

from webapp.results.measurements import measures
from webapp.results.verdict import verdict


def estimate(value, half=0.05, n=154):
    return {"value": value, "low": value - half, "high": value + half, "n": n, "unit": ""}


def summary(win_rate=0.71, reward_gain=0.8, **more):
    return {
        "judge": "held_out_labels",
        "win_rate": estimate(win_rate, 0.04),
        "reward_gain": estimate(reward_gain),
        "kl_reference": estimate(1.6, 0.1),
        **more,
    }


def test_a_better_policy_is_said_to_be_better_with_its_evidence():
    found = verdict(summary())
    assert found.state == "better"
    assert found.sentence == (
        "Better than the reference: it wins 71 % ± 4 of 154 held-out prompts judged by a second "
        "reward model of held-out labels, at KL 1.6 ± 0.1 nats."
    )


def test_a_worse_policy_is_said_to_be_worse():
    found = verdict(summary(win_rate=0.3, reward_gain=-0.2))
    assert found.state == "worse"
    assert found.sentence.startswith("Worse than the reference: it wins only 30 % ± 4")


def test_a_reward_that_rose_while_the_judge_objects_is_over_optimised():
    found = verdict(summary(win_rate=0.3))
    assert found.state == "worse"
    assert "although its reward rose by 0.80 ± 0.05" in found.sentence
    assert "over-optimised" in found.sentence


def test_an_interval_over_one_half_is_no_clear_difference():
    found = verdict(summary(win_rate=0.52, reward_gain=0.0))
    assert found.state == "unclear"
    assert "over-optimised" not in found.sentence


def test_a_reward_that_rose_unseen_by_the_judge_raises_suspicion():
    assert "may have been over-optimised" in verdict(summary(win_rate=0.52)).sentence


@pytest.mark.parametrize("missing", [None, {"value": 0.9, "low": None, "high": None, "n": 3}])
def test_without_a_measured_win_rate_nothing_is_claimed(missing):
    found = verdict(summary() | {"judge": "none", "win_rate": missing})
    assert found.state == "unjudged"
    assert "says nothing about quality" in found.sentence


def test_an_evaluation_without_any_number_still_has_a_sentence():
    assert "no reward was measured" in verdict({}).sentence


@pytest.mark.parametrize("ratio", [0.62, estimate(0.62)])
def test_lost_variety_is_a_caution(ratio):
    (caution,) = verdict(summary(distinct_2_ratio=ratio)).cautions
    assert "62 %" in caution


def test_much_longer_winners_are_a_caution():
    found = verdict(summary(length_before=estimate(10.0), length_after=estimate(20.0)))
    assert "2.0 times as long" in found.cautions[0]


def test_an_ordinary_winner_needs_no_caution():
    sizes = {"length_before": estimate(10.0), "length_after": estimate(11.0)}
    assert verdict(summary(distinct_2_ratio=0.95, **sizes)).cautions == []


def test_every_number_of_an_evaluation_is_shown_under_a_title():
    found = measures(
        summary(
            divergence=estimate(0.2),
            divergence_served=estimate(0.3),
            win_rate_served=estimate(0.6),
            feature_contains_she_after=estimate(0.5),
            self_bleu_served=estimate(0.4),
            beta=0.35,
            receipts={"gradient": None},
        )
    )
    titles = {measure.title: measure.estimate["value"] for measure in found}
    assert titles == {
        "Win rate": 0.71,
        "Reward gain": 0.8,
        "KL to the reference": 1.6,
        "Divergence to the target": 0.2,
        "Divergence to the target, served": 0.3,
        "Win rate, served": 0.6,
        "Contains she after": 0.5,
        "Self-BLEU, served": 0.4,
    }
    assert found[-1].meaning == "Of the policy as it will be served."
