"""What is found in labels while they are frozen."""

import json

import numpy as np
import pytest

from alignment.seam.records import PairRecord, PromptRecord, RankingRecord
from tests.factories import a_label, a_prompt, a_ranking, a_user, some_tasks
from webapp.accounts.roles import Role
from webapp.datasets import health
from webapp.datasets.health import HealthMeter, median_of
from webapp.datasets.services import freeze_snapshot

LONG = "Describe how a river shapes the land on its way from the mountains down to the sea"


def report(*rows):
    """Of rows given as (prompt, split, chosen, rejected, who, task)."""
    meter = HealthMeter()
    for prompt, split, chosen, rejected, who, task in rows:
        record = PairRecord(
            prompt=PromptRecord(key=prompt, messages=()), chosen=chosen, rejected=rejected
        )
        meter.feed(row_of(prompt, split, who, task), [record])
    return meter.report()


def row_of(prompt, split, who, task):
    messages = json.dumps([{"role": "user", "content": prompt}])
    return {
        "source": "label",
        "messages": messages,
        "prompt_key": prompt,
        "split": split,
        "annotator": who,
        "task": task,
    }


def test_nothing_is_found_in_nothing():
    found = HealthMeter().report()
    assert (found["pairs"], found["leaks"], found["people"]["top"]) == (0, 0, None)
    assert json.loads(json.dumps(found)) == found


def test_pairs_judged_both_ways_by_one_or_several():
    found = report(
        ("P", "train", "a", "b", "ana", 1),
        ("P", "train", "b", "a", "ben", 1),
        ("Q", "train", "a", "b", "ana", 2),
        ("Q", "train", "b", "a", "ana", 3),
        ("R", "train", "a", "b", "ana", 4),
    )
    assert (found["contradictions"], found["own_contradictions"]) == (2, 1)


def test_a_pair_of_two_tasks_or_lines_is_asked_about_once_more():
    found = report(
        ("P", "train", "a", "b", "ana", 1),
        ("P", "train", "a", "b", "ben", 1),  # the same task: wanted twice
        ("P", "train", "b", "a", "ben", 2),
        ("P", "train", "a", "b", "import", None),
        ("P", "train", "a", "b", "import", None),
    )
    assert found["repeated"] == 3


def test_a_prompt_leaks_as_it_is_and_nearly():
    found = report(
        ("Why  is it?", "train", "a", "b", "ana", 1),
        ("why is IT?", "test", "a", "b", "ana", 2),
        (f"{LONG}.", "train", "a", "b", "ana", 3),
        (f"{LONG}!!", "validation", "a", "b", "ana", 4),
        ("Alone", "train", "a", "b", "ana", 5),
    )
    assert (found["leaks"], found["near_leaks"], found["near_prompts"]) == (1, 1, 1)
    assert found["leaking"] == [sorted([f"{LONG}.", f"{LONG}!!"])]


def test_equal_answers_are_counted_and_measured_nowhere_else():
    found = report(
        ("P", "train", "same", "same", "ana", 1), ("P", "train", "longer", "b", "ana", 2)
    )
    assert (found["equal"], found["pairs"]) == (1, 1)
    assert found["lengths"]["chosen"] == {"value": 6.0, "low": None, "high": None}


def test_rankings_are_taken_apart():
    meter = HealthMeter()
    record = RankingRecord(
        prompt=PromptRecord(key="P", messages=()), completions=("c", "a", "b"), ranks=(1, 0, 1)
    )
    meter.feed(row_of("P", "train", "ana", 1), [record])
    assert meter.report()["pairs"] == 2


def test_who_gave_most_and_which_languages_are_spoken():
    english = "How does a river shape the land on its way down to the sea, and why?"
    found = report(
        *[(english, "train", "a", "b", "ana", n) for n in range(3)],
        ("Why?", "train", "a", "b", "ben", 9),
    )
    assert found["people"] == {"n": 2, "labels": 4, "top": 0.75}
    assert found["languages"] == {"": 1, "en": 1}


def test_the_interval_of_a_median_covers_it_about_as_often_as_it_says():
    chance = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        found = median_of(chance.geometric(0.01, size=60).astype(np.int64))
        hits += found["low"] <= 69 <= found["high"]
    assert 0.93 <= hits / 400 <= 0.99


@pytest.mark.django_db
def test_freezing_keeps_what_was_found_and_the_same_is_the_same(project, monkeypatch):
    monkeypatch.setattr(health, "COMPARED", 100)
    ana = a_user(project, Role.ANNOTATOR)
    for task in some_tasks(project, 2, texts=("Short.", "A longer one.")):
        a_label(task, annotator=ana)
    a_ranking(a_prompt(project), 0, 1)
    for number, answer in enumerate(a_ranking(a_prompt(project), 0, 1)):
        answer.text, answer.key = "Same.", f"same-{number}"
        answer.save()
    snapshot = freeze_snapshot(project)
    found = snapshot.manifest["health"]
    assert (found["pairs"], found["equal"], found["prompts"]) == (3, 1, 4)
    assert found["people"] == {"n": 1, "labels": 2, "top": 1.0}
    assert freeze_snapshot(project) == snapshot
