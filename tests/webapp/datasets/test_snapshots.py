import json
import re
from collections import Counter
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from alignment.seam.errors import CheckpointError
from alignment.seam.records import split_of
from tests.factories import a_label, a_project, a_prompt, a_ranking, a_user, some_labels, some_tasks
from webapp.accounts.roles import Role
from webapp.datasets.errors import SnapshotError
from webapp.datasets.filters import SnapshotFilter
from webapp.datasets.models import Snapshot
from webapp.datasets.queries import pseudonyms, unfrozen
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import LABELS, SCHEMA, labels_of, pairs_of, read
from webapp.labeling.kinds.compare import Choice
from webapp.labeling.models import Label
from webapp.labeling.services import submit_label, undo_label
from webapp.projects.models import Split

CHOICES = Choice


@pytest.fixture
def task(project):
    return some_tasks(project, need=9)[0]


def pairs(snapshot):
    return [pair for split in Split.values for pair in pairs_of(snapshot.artifact, split)]


def rows(snapshot):
    return list(read(snapshot.artifact.path))


def said(row):
    return json.loads(row["answer"])["choice"]


def test_every_choice_is_kept_and_only_preferences_become_pairs(project, task):
    for choice in CHOICES:
        a_label(task, choice)
    snapshot = freeze_snapshot(project)
    assert sorted(said(row) for row in rows(snapshot)) == list(range(8))
    assert snapshot.labels == 8
    assert snapshot.pairs == len(pairs(snapshot)) == 6
    assert Counter(pair.strength for pair in pairs(snapshot)) == {1: 2, 2: 2, 3: 2}


def test_the_pair_says_which_text_won(project, task):
    label = a_label(task, CHOICES.RIGHT_MUCH)
    (pair,) = pairs(freeze_snapshot(project))
    assert (pair.chosen, pair.rejected) == (label.shown[1].text, label.shown[0].text)
    assert (pair.strength, pair.prompt) == (3, task.prompt.record())


def labels(snapshot):
    return [label for split in Split.values for label in labels_of(snapshot.artifact, split)]


def test_a_trainer_may_read_ties_too(project, task):
    for choice in (CHOICES.TIE, CHOICES.BOTH_BAD, CHOICES.LEFT):
        a_label(task, choice)
    tie, bad, pair = labels(freeze_snapshot(project))
    assert [(one.kind, one.both_bad) for one in (tie, bad)] == [("tie", False), ("tie", True)]
    assert {tie.left, tie.right} == {task.completions[0].text, task.completions[1].text}
    assert len({tie.annotator, bad.annotator, pair.annotator}) == 3
    assert pair.kind == "pair"


def test_a_label_knows_which_side_won_and_a_rank_has_none(project, task):
    label = a_label(task, CHOICES.LEFT)
    a_label(task, CHOICES.RIGHT)
    a_ranking(a_prompt(project), 0, 1)
    won = {pair.left_won: pair.chosen for pair in pairs(freeze_snapshot(project))}
    assert set(won) == {True, False, None}
    assert won[True] == label.shown[0].text


def test_two_rankings_of_a_prompt_are_told_apart(project):
    prompt = a_prompt(project)
    for answer in a_ranking(prompt, 0, 1):
        answer.sampling = {"ranking": "tree"}
        answer.save()
    a_ranking(prompt, 0, 1)
    assert {pair.group for pair in pairs(freeze_snapshot(project))} == {"tree", prompt.key}


def test_contradicting_labels_are_both_kept(project, task):
    a_label(task, CHOICES.LEFT)
    a_label(task, CHOICES.RIGHT)
    texts = [{pair.chosen, pair.rejected} for pair in pairs(freeze_snapshot(project))]
    assert texts == [{task.completions[0].text, task.completions[1].text}] * 2


def test_an_answer_preferred_to_the_same_text_is_no_pair(project):
    prompt = a_prompt(project)
    for number, answer in enumerate(a_ranking(prompt, 0, 1)):
        answer.text = "The same."
        answer.key = f"same-{number}"
        answer.save()
    snapshot = freeze_snapshot(project)
    assert (len(rows(snapshot)), snapshot.pairs, pairs(snapshot)) == (1, 0, [])


def test_pairs_come_from_one_split_only(project):
    some_labels(some_tasks(project, 30))
    artifact = freeze_snapshot(project).artifact
    found = {split: [pair.prompt.key for pair in pairs_of(artifact, split)] for split in Split}
    assert all(split_of(key) == split for split, keys in found.items() for key in keys)
    assert sum(map(len, found.values())) == 30


def test_a_revision_replaces_and_a_retraction_removes(project, task):
    revised, retracted = a_label(task), a_label(task)
    submit_label(revised.assignment, client_id=uuid4(), answer={"choice": CHOICES.TIE})
    undo_label(retracted.annotator, retracted.client_id)
    (row,) = rows(freeze_snapshot(project))
    assert said(row) == CHOICES.TIE


def test_ranks_become_every_ordered_pair_of_different_ranks(project):
    prompt = a_prompt(project)
    best, second, also_second, last = a_ranking(prompt, 0, 1, 1, 2)
    found = {(pair.chosen, pair.rejected) for pair in pairs(freeze_snapshot(project))}
    expected = [(best, second), (best, also_second), (best, last)]
    expected += [(second, last), (also_second, last)]
    assert found == {(better.text, worse.text) for better, worse in expected}


def test_pairs_of_one_ranking_share_their_group(project):
    one, other = a_prompt(project), a_prompt(project)
    a_ranking(one, 0, 1, 2)
    a_ranking(other, 0, 1)
    groups = Counter(pair.group for pair in pairs(freeze_snapshot(project)))
    assert groups == {one.key: 3, other.key: 1}


def test_ranks_and_simulated_labels_can_be_left_out(project, task):
    a_ranking(task.prompt, 0, 1)
    a_label(task, annotator=a_user(project, Role.ANNOTATOR, simulated=True))
    person = a_label(task)
    wanted = SnapshotFilter(include_simulated=False, include_ranks=False)
    snapshot = freeze_snapshot(project, wanted)
    assert [row["label"] for row in rows(snapshot)] == [person.pk]
    assert snapshot.manifest["filter"] == {"include_simulated": False, "include_ranks": False}


def test_annotators_have_pseudonyms_only(project, task):
    for name in ("zoe", "adam", "mia"):
        a_label(task, annotator=a_user(project, username=name))
    snapshot = freeze_snapshot(project)
    names = {row["annotator"] for row in rows(snapshot)}
    assert len(names) == 3
    assert all(re.fullmatch(r"a[0-9a-f]{10}", name) for name in names)
    assert snapshot.annotators == 3
    assert b"zoe" not in (snapshot.artifact.path / LABELS).read_bytes()


def test_one_annotator_has_one_pseudonym(project):
    ana = a_user(project)
    for task in some_tasks(project, 3):
        a_label(task, annotator=ana)
    assert len({row["annotator"] for row in rows(freeze_snapshot(project))}) == 1


def test_a_pseudonym_stays_when_others_come_and_differs_between_projects(project):
    people, names = [a_user(project) for _ in range(9)], {}
    for number, task in enumerate(some_tasks(project, 9)):
        a_label(task, annotator=people[number])
        now = pseudonyms(project, [person.pk for person in people[: number + 1]])
        assert names.items() <= now.items()
        names = now
    assert len({*names.values()}) == 9
    assert not {*names.values()} & {*pseudonyms(a_project(), names).values()}


def test_the_manifest_counts_what_is_in_the_file(project, task):
    a_ranking(task.prompt, 0, 1)
    for choice in (CHOICES.LEFT, CHOICES.LEFT, CHOICES.BOTH_BAD):
        a_label(task, choice)
    manifest = freeze_snapshot(project).manifest
    assert manifest["answers"] == {"compare": {'{"choice":2}': 2, '{"choice":0}': 1}}
    assert manifest["sources"] == {"label": 3, "rank": 1}
    assert manifest["pairs"] == {task.prompt.split: 3}


def test_a_snapshot_does_not_change_when_labels_do(project, task):
    label = a_label(task)
    snapshot = freeze_snapshot(project)
    before = pairs(snapshot)
    undo_label(label.annotator, label.client_id)
    a_label(task, CHOICES.RIGHT)
    assert pairs(Snapshot.objects.get(pk=snapshot.pk)) == before


def test_a_tampered_snapshot_is_not_read(project, task):
    a_label(task)
    snapshot = freeze_snapshot(project)
    with (snapshot.artifact.path / LABELS).open("ab") as file:
        file.write(b"more")
    with pytest.raises(CheckpointError):
        pairs(snapshot)


def test_where_nothing_has_changed_the_last_snapshot_is_the_answer(project, task):
    """A button that was clicked twice freezes once."""
    a_label(task)
    first, again = freeze_snapshot(project), freeze_snapshot(project)
    assert (first, Snapshot.objects.count()) == (again, 1)
    a_label(task)
    assert freeze_snapshot(project).number == 2


def test_the_same_labels_under_other_guidelines_are_stored_once(project, task):
    a_label(task)
    first = freeze_snapshot(project)
    project.guidelines = "Other ones."
    second = freeze_snapshot(project)
    assert (first.number, second.number) == (1, 2)
    assert first.artifact.path == second.artifact.path


def test_flags_are_kept(project, task):
    label = a_label(task)
    Label.objects.filter(pk=label.pk).update(flags=["unsafe", "factual"])
    (row,) = rows(freeze_snapshot(project))
    assert row["flags"] == ["unsafe", "factual"]


def test_nothing_to_freeze_is_refused_and_leaves_nothing(project, var):
    with pytest.raises(SnapshotError, match="Label some tasks"):
        freeze_snapshot(project)
    assert not Snapshot.objects.exists()
    assert [path for path in (var / "store").rglob("*") if path.is_file()] == []


def test_other_projects_labels_stay_out(project, task):
    a_label(task)
    some_labels(some_tasks(a_project(), 2))
    assert freeze_snapshot(project).labels == 1


def test_what_is_new_is_counted_from_the_last_snapshot(project, task):
    a_label(task)
    freeze_snapshot(project)
    a_label(task)
    a_ranking(task.prompt, 0, 1)
    counts = unfrozen(project)
    assert (counts["labels"], counts["new_labels"], counts["new_ranked"]) == (2, 1, 2)


def test_the_file_has_the_documented_columns(project, task):
    a_label(task, rationale="Kinder.", visible_ms=1200)
    path = freeze_snapshot(project).artifact.path / LABELS
    assert pq.read_schema(path).equals(SCHEMA)
    (row,) = pq.read_table(path).to_pylist()
    assert (row["rationale"], row["visible_ms"], row["counted"]) == ("Kinder.", 1200, True)


def test_freezing_takes_a_constant_number_of_queries(project, task, django_assert_max_num_queries):
    tasks = some_tasks(project, 12)
    some_labels(tasks)
    for other in tasks:
        a_ranking(other.prompt, 0, 1, 2)
    with django_assert_max_num_queries(24):
        freeze_snapshot(project)
