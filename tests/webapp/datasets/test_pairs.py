"""Preferences of many labels at once: as label by label, in the same order, whatever they are about."""

import pyarrow as pa
import pytest

from tests.factories import a_label, a_project, again, some_tasks
from tests.webapp.datasets.test_before import snapshot as before  # noqa: F401 - a fixture
from tests.webapp.datasets.test_exports import conversation
from tests.webapp.datasets.test_round_trips import answered, every_kind
from webapp.datasets.exports import pairs
from webapp.datasets.exports.pairs import preferences_in
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import pairs_of, record_batches
from webapp.labeling.kinds.compare import Choice
from webapp.projects.models import Split

pytestmark = [pytest.mark.once, pytest.mark.django_db]


@pytest.fixture(scope="module")
def frozen(kept):
    """Preferences of every kind of task, and of a ranking, in between each other."""
    project = a_project()
    every_kind(project)
    answered(project)
    conversation(project)
    every_kind(project)
    return freeze_snapshot(project)


@pytest.fixture
def snapshot(frozen, on_kept):
    return again(frozen)


def found(snapshot, split):
    batches = list(record_batches(snapshot.artifact.path))
    return pa.Table.from_batches([preferences_in(one, split) for one in batches])


@pytest.mark.parametrize("split", Split.values)
def test_texts_taken_by_their_places_are_those_of_the_records(snapshot, split, monkeypatch):
    said = [one.model_dump(exclude={"kind"}) for one in pairs_of(snapshot.artifact, split)]
    together = found(snapshot, split)
    rows = [
        row | {"prompt": one["prompt"]} for row, one in zip(together.to_pylist(), said, strict=True)
    ]
    assert [{name: row[name] for name in one} for row, one in zip(rows, said, strict=True)] == said
    assert together["prompt_key"].to_pylist() == [one["prompt"]["key"] for one in said]
    monkeypatch.setattr(pairs, "_kinds_by_place", lambda: pa.array([], pa.string()))
    assert found(snapshot, split).equals(together)


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
