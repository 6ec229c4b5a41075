"""A reward model on a file of labelled pairs, beside rules that read nothing."""

import json

import pytest
import torch

from alignment.__main__ import main
from alignment.reward.measures import Told
from alignment.reward.model import RewardModel
from alignment.reward.rulers import by_category, told_by_rules
from alignment.seam.events import parse_event
from tests.alignment.rewarding import a_pair

WORDS = ["day", "night", "sun", "rain"]
ROWS = [
    {"prompt": prompt, "chosen": f"{word} good", "rejected": f"{word} bad sun", "subset": prompt}
    for prompt in WORDS
    for word in WORDS[:2]
]


def told(*rows):
    """Pairs of (prompt, tokens of chosen and rejected, the model's margin, what more is known)."""
    pairs = [a_pair(prompt, "a", "b", **more) for prompt, _lengths, _margin, more in rows]
    margins = torch.tensor([margin for _, _, margin, _ in rows], dtype=torch.float64)
    return Told(pairs, margins, [lengths for _, lengths, _, _ in rows])


def values(found):
    return {name: row["value"] for name, row in found.items() if row}


def test_rules_look_at_length_and_side_alone():
    found = told(
        ("sun", (5, 3), 1.0, {"left_won": True}),
        ("day", (2, 3), 1.0, {"left_won": False}),
        ("rain", (4, 3), -1.0, {"left_won": True}),
        ("night", (3, 3), 1.0, {"left_won": True}),
    )
    expected = {"longest": 0.625, "shortest": 0.375, "left": 0.75, "ahead": 0.0}
    assert values(told_by_rules(found)) == pytest.approx(expected)


def test_the_lead_is_on_the_pairs_that_the_best_rule_tells():
    found = told(
        ("sun", (3, 5), 1.0, {"left_won": True}),
        ("day", (3, 2), -1.0, {}),
        ("day", (3, 2), 1.0, {}),
    )
    numbers = told_by_rules(found)
    assert values(numbers) == {"longest": 0.5, "shortest": 0.5, "left": 1.0, "ahead": 0.0}
    assert (numbers["left"]["n"], numbers["ahead"]["n"], numbers["longest"]["n"]) == (1, 1, 2)


def test_each_category_has_its_accuracies_and_without_any_there_is_no_table():
    found = told(
        ("sun", (5, 3), 1.0, {"category": "chat"}),
        ("day", (2, 3), -1.0, {"category": "safety"}),
        ("rain", (2, 3), 1.0, {}),
    )
    rows = by_category(found)
    assert [(row["of"], row["pairs"], row["accuracy"]["value"]) for row in rows] == [
        ("—", 1, 1.0),
        ("chat", 1, 1.0),
        ("safety", 1, 0.0),
    ]
    assert rows[0].keys() == rows[1].keys()
    assert rows[1]["left"] is None  # nobody saw sides
    assert by_category(told(("sun", (5, 3), 1.0, {}))) == []


@pytest.fixture
def measure(tmp_path, saved_policy):
    """Measure a reward model of three heads on these rows by the command; its exit, summary and rows."""
    torch.manual_seed(2)
    (tmp_path / "reward").mkdir()
    RewardModel.fresh(saved_policy, heads=3).save(tmp_path / "reward")

    def measure(rows=ROWS):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        at = [f"--{name}={tmp_path / path}" for name, path in PLACES.items()]
        status = main(["measure", *at])
        run = tmp_path / "run"
        lines = [] if status else (run / "events.jsonl").read_bytes().splitlines()
        return (
            status,
            parse_event(lines[-1]).summary if lines else {},
            run / "output" / "pairs.jsonl",
        )

    return measure


PLACES = {"reward": "reward", "pairs": "rows.jsonl", "output": "run"}


def test_a_file_is_measured_as_the_model_scores_it(measure, tmp_path):
    status, summary, path = measure()
    assert status == 0
    model = RewardModel.load(tmp_path / "reward")
    prompts = [a_pair(row["prompt"], "a", "b").prompt.messages for row in ROWS]
    chosen, rejected = (
        model.score_texts(prompts, [row[side] for row in ROWS]) * model.scale
        for side in ("chosen", "rejected")
    )
    found = [json.loads(line) for line in path.read_text().splitlines()]
    margins = torch.tensor([row["margin"] for row in found])
    torch.testing.assert_close(margins, chosen - rejected, atol=1e-5, rtol=1e-4)
    assert [row["category"] for row in found] == [row["subset"] for row in ROWS]
    assert summary["accuracy"]["value"] == pytest.approx((margins > 0).double().mean().item())
    assert summary["accuracy"]["n"] == 4
    assert summary["longest"]["value"] == 0  # the rejected one is the longer one everywhere
    assert "left" not in summary
    assert [row["of"] for row in summary["by_category"]] == sorted(WORDS)


def test_pairs_that_say_nothing_are_refused(measure, capsys):
    status, _, path = measure([row | {"rejected": row["chosen"]} for row in ROWS])
    assert status == 3
    assert not path.exists()
    assert "pair" in capsys.readouterr().err
