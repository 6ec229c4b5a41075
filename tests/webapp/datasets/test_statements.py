"""What many labels say at once: as label by label, in the same order, whatever they are about."""

import pyarrow as pa
import pytest

from tests.factories import a_completion, a_label, a_project, a_prompt, again, some_tasks
from tests.webapp.datasets.test_before import snapshot as before  # noqa: F401 - a fixture
from tests.webapp.datasets.test_exports import conversation
from tests.webapp.datasets.test_round_trips import answered, every_kind
from webapp.datasets.exports import statements
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.trl_completion import IMITATED
from webapp.datasets.exports.trl_unpaired import VERDICTS
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import pairs_of, read, record_batches
from webapp.labeling.kinds.compare import Choice
from webapp.projects.models import Split

pytestmark = [pytest.mark.once, pytest.mark.django_db]


@pytest.fixture(scope="module")
def frozen(kept):
    """Labels of every kind of task, and of rankings, in between each other; one of the same text twice."""
    project = a_project()
    twice = a_prompt(project)
    for rank in (0, 1):
        a_completion(twice, "The same.", rank=rank)
    every_kind(project)
    answered(project)
    conversation(project)
    every_kind(project)
    return freeze_snapshot(project)


@pytest.fixture
def snapshot(frozen, on_kept):
    return again(frozen)


def found(snapshot, split, sort=PREFERENCES):
    batches = list(record_batches(snapshot.artifact.path))
    return pa.Table.from_batches([sort.found_in(one, split) for one in batches])


@pytest.mark.parametrize("split", Split.values)
def test_texts_taken_by_their_places_are_those_of_the_records(snapshot, split):
    said = [one.model_dump(exclude={"kind"}) for one in pairs_of(snapshot.artifact, split)]
    together = found(snapshot, split)
    rows = [
        row | {"prompt": one["prompt"]} for row, one in zip(together.to_pylist(), said, strict=True)
    ]
    assert [{name: row[name] for name in one} for row, one in zip(rows, said, strict=True)] == said
    assert together["prompt_key"].to_pylist() == [one["prompt"]["key"] for one in said]


@pytest.mark.parametrize("sort", [PREFERENCES, VERDICTS, IMITATED])
def test_each_sort_is_the_same_whether_by_place_or_label_by_label(snapshot, sort, monkeypatch):
    together = [found(snapshot, split, sort) for split in Split.values]
    assert len(together[0]) > 4
    monkeypatch.setattr(statements, "_kinds_by_place", dict)
    assert [found(snapshot, split, sort) for split in Split.values] == together


def test_of_the_same_text_twice_nothing_is_said(snapshot):
    """Where it was preferred to itself; places alone would say so."""
    said = [
        one
        for split in Split.values
        for one in found(snapshot, split, VERDICTS)["text"].to_pylist()
    ]
    assert "The same." not in said
    assert "thumbs" in {row["kind"] for row in read(snapshot.artifact.path)}


def test_kinds_of_which_the_places_say_all_are_mixed_with_others(snapshot):
    kinds = {
        kind for one in record_batches(snapshot.artifact.path) for kind in one["kind"].to_pylist()
    }
    assert kinds > {"compare", "ranked", "rank", "edit"}


def test_a_snapshot_of_before_has_the_same(before):  # noqa: F811 - the fixture
    said = [(one.chosen, one.strength, one.left_won) for one in pairs_of(before.artifact, "train")]
    rows = found(before, "train").to_pylist()
    assert [(row["chosen"], row["strength"], row["left_won"]) for row in rows] == said


def test_long_rows_come_few_at_once(project, monkeypatch):
    for task in some_tasks(project, 5):
        a_label(task, Choice.LEFT)
    snapshot = freeze_snapshot(project)
    monkeypatch.setattr("webapp.datasets.snapshots.BYTES_PER_BATCH", 1)
    assert [len(one) for one in record_batches(snapshot.artifact.path)] == [1] * 5
    assert sum(len(found(snapshot, split)) for split in Split.values) == 5
