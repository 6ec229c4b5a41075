"""How far a reward model can be trusted: calibration, buckets, more fits, and where its zero is."""

import math
from itertools import product

import pytest
import torch
from pydantic import ValidationError

from alignment.kinds.reward.settings import RewardConfig
from alignment.reward import RewardModel, divided
from alignment.reward.buckets import accuracy_by
from alignment.reward.calibration import calibration, calibration_error, temperature_of
from alignment.reward.centring import reference_texts, usual_length
from alignment.reward.measures import Told
from alignment.reward.validation import first, folds
from alignment.seam.errors import DataError
from alignment.seam.records import PairRecord, TieRecord
from tests.alignment.conftest import WORDS, tiny_policy
from tests.alignment.rewarding import a_pair, a_prompt, run

PROMPTS = [" ".join(both) for both in product(WORDS[:6], repeat=2)]


def told(margins, prompts=None, pairs=None, lengths=None):
    count = len(margins)
    prompts = prompts or [str(at) for at in range(count)]
    pairs = pairs or [a_pair(prompt, "good", "bad") for prompt in prompts]
    return Told(pairs, torch.as_tensor(margins).double(), lengths or [(5, 5)] * count)


def of_a_model(confidence, count=4000, seed=0):
    """Margins of labels by Bradley and Terry's model, seen by one that is too sure of them."""
    draws = torch.Generator().manual_seed(seed)
    margins = torch.randn(count, generator=draws, dtype=torch.float64)
    wins = torch.rand(count, generator=draws, dtype=torch.float64) < margins.sigmoid()
    return confidence * torch.where(wins, margins, -margins)


@pytest.mark.parametrize("confidence", [0.5, 3.0])
def test_a_temperature_undoes_false_confidence(confidence):
    assert temperature_of(of_a_model(confidence)) == pytest.approx(confidence, rel=0.15)


def test_calibration_lowers_nll_and_error_on_labels_it_was_not_fitted_to():
    margins = of_a_model(3.0, count=600)
    found = calibration(told(margins))
    before = torch.nn.functional.softplus(-margins).mean().item()
    assert found["nll_calibrated"]["value"] < before - 0.2
    assert found["ece_calibrated"] < found["ece"] / 2


def test_each_half_gets_the_other_half_s_temperature():
    margins = torch.tensor([2.0, 1.0, -2.0, 3.0, 2.0, -1.0], dtype=torch.float64)
    prompts = sorted((f"prompt {at}" for at in range(6)), key=lambda text: a_prompt(text).key)
    even, odd = margins[::2], margins[1::2]
    scaled = torch.cat([even / temperature_of(odd), odd / temperature_of(even)])
    expected = torch.nn.functional.softplus(-scaled).mean().item()
    found = calibration(told(margins, prompts))["nll_calibrated"]
    assert found["value"] == pytest.approx(expected, rel=1e-6)


def test_the_calibration_error_by_hand():
    """Three of four were right at a chance of 0.81, two of two at 0.86, which is the next bin."""
    one, other = math.log(0.81 / 0.19), math.log(0.86 / 0.14)
    margins = torch.tensor([one, one, one, -one, other, other], dtype=torch.float64)
    expected = (4 * abs(0.75 - 0.81) + 2 * abs(1 - 0.86)) / 6
    assert calibration_error(margins) == pytest.approx(expected)


def test_accuracy_by_what_pairs_have_in_common():
    labels = [
        a_pair("sun", "good", "bad"),
        a_pair("sun", "good", "bad"),
        a_pair("day", "good", "bad"),
        TieRecord(prompt=a_prompt("day"), left="bad", right="good"),
        a_pair("rain", "good", "bad"),
    ]
    pairs = [label for label in labels if isinstance(label, PairRecord)]
    lengths = [(9, 3), (9, 3), (2, 4), (6, 6)]
    found = told([1.0, 1.0, -1.0, 0.0], pairs=pairs, lengths=lengths)
    rows = {
        row["of"]: (row["pairs"], row["accuracy"]["value"]) for row in accuracy_by(found, labels)
    }
    assert rows == {
        "labelled once": (1, 0.5),
        "labels agree": (2, 1.0),
        "labels disagree": (1, 0.0),
        "up to 6 tokens": (2, 0.25),
        "7 to 9 tokens": (2, 1.0),
        "longer one chosen": (2, 1.0),
        "shorter one chosen": (1, 0.0),
    }


LABELS = [
    a_pair(prompt, f"{word} good", f"{word} bad {word}") for prompt in PROMPTS for word in "ab"
]


def test_every_prompt_is_held_out_once_and_never_fitted_then():
    parts = folds(LABELS, 5)
    assert len(parts) == 5
    held = [label for part in parts for label in part.held]
    assert sorted(map(repr, held)) == sorted(map(repr, LABELS))
    for part in parts:
        assert {p.prompt.key for p in part.fitted}.isdisjoint({p.prompt.key for p in part.held})
        assert len(part.fitted) + len(part.held) == len(LABELS)


def test_a_share_of_the_labels_holds_those_of_a_smaller_share():
    quarter, half = first(LABELS, 0.25), first(LABELS, 0.5)
    assert (len(quarter), len(half)) == (len(LABELS) / 4, len(LABELS) / 2)
    assert {label.prompt.key for label in quarter} < {label.prompt.key for label in half}


def test_a_run_reports_its_checks(tmp_path):
    settings = {"epochs": 2, "folds": 3, "learning_curve": "measure"}
    events = run(tmp_path, LABELS, **settings)
    summary = events[-1].summary
    steps = [event.step for event in events if event.type == "step"]
    assert steps == list(range(1, events[0].total_steps + 1))
    assert [e.name for e in events if e.type == "phase"] == [
        "training",
        "measuring",
        "learning curve",
        "cross-validation",
    ]
    every = summary["accuracy_crossvalidated"]
    assert every["n"] == len(PROMPTS)
    assert every["value"] > 0.9
    curve = summary["learning_curve"]
    assert [row["labels"] for row in curve] == sorted(row["labels"] for row in curve)
    assert curve[-1]["labels"] == summary["pairs_train"]
    assert curve[-1]["accuracy"] == summary["accuracy"]
    assert RewardModel.load(tmp_path / "output").temperature == summary["temperature"]


def test_checks_change_no_weight(tmp_path):
    settings = {"epochs": 1, "folds": 2}
    run(tmp_path / "with", LABELS, **settings)
    run(tmp_path / "without", LABELS, epochs=1)
    one, other = (tmp_path / name / "output/head.safetensors" for name in ("with", "without"))
    assert one.read_bytes() == other.read_bytes()


def test_one_fold_is_refused():
    with pytest.raises(ValidationError, match="one fold leaves no labels"):
        RewardConfig(folds=1)


def test_rewards_are_centred_on_the_reference_s_samples(tmp_path):
    run(tmp_path, LABELS, epochs=1, centring="reference", seed=3)
    model = RewardModel.load(tmp_path / "output")
    fitted, _ = divided(LABELS, 0.3)
    texts = [ids for _, ids in reference_texts(model, tmp_path / "backbone", fitted, seed=3)]
    scores = model.score_ids(texts)
    assert len(texts) == 4 * len({label.prompt.key for label in fitted})
    assert scores.mean().item() == pytest.approx(0, abs=1e-4)
    assert scores.std().item() == pytest.approx(1, abs=1e-4)


def test_the_reference_s_samples_are_as_long_as_most_labelled_completions():
    policy = tiny_policy()
    labels = [a_pair(prompt, "good", "bad day") for prompt in PROMPTS]
    assert usual_length(policy, labels) == 3  # with the end token
    assert usual_length(policy, [a_pair("sun", "good " * 30, "bad " * 30)]) == 16  # half of all


def test_prompts_that_leave_no_room_are_refused(tmp_path):
    tiny_policy().save(tmp_path)
    labels = [a_pair("sun " * 40, "good", "bad")]
    with pytest.raises(DataError, match="room to answer"):
        reference_texts(RewardModel.fresh(tmp_path), tmp_path, labels, seed=0)
