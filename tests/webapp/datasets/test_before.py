"""What the version before wrote, when all labels were comparisons: a snapshot and an export of it."""

from collections import Counter
from pathlib import Path
from shutil import copytree
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from alignment.seam.folders import file_sha256
from tests.factories import a_user
from tests.webapp.datasets.test_standins import held
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.folders import name_of, write_folder, zipped
from webapp.datasets.exports.losses import losses_of
from webapp.datasets.imports.parts import take_in
from webapp.datasets.intake import Become, Plan
from webapp.datasets.models import Snapshot
from webapp.datasets.snapshots import labels_of, pairs_of, read
from webapp.labeling.models import Label

BEFORE = Path(__file__).parent / "before"


@pytest.fixture
def snapshot(project, tmp_path):
    """Each choice about one pair and a ranking of two, frozen by the version before."""
    folder = copytree(BEFORE / "snapshot", tmp_path / "snapshot")
    artifact = store(folder, project=project, type=Artifact.Type.SNAPSHOT, name="Snapshot 1")
    return Snapshot.objects.create(
        project=project,
        number=1,
        artifact=artifact,
        labels=8,
        pairs=7,
        annotators=8,
        manifest={
            "splits": {"train": 9},
            "sources": {"label": 8, "rank": 1},
            "pairs": {"train": 7},
            "choices": {str(choice): 1 for choice in range(8)},
            "annotators": {},
            "simulated": {"False": 8},
            "filter": {"include_simulated": True, "include_ranks": True},
            "newest": {"label": 8, "ranked": 4},
            "sha256": {},
        },
    )


def test_a_snapshot_of_before_says_what_it_said(snapshot):
    found = list(labels_of(snapshot.artifact, "train"))
    ties = [(tie.left, tie.right, tie.both_bad) for tie in found if tie.kind == "tie"]
    assert ties == [("One.", "Two.", True), ("One.", "Two.", False)]
    pairs = [(p.chosen, p.strength, p.left_won) for p in pairs_of(snapshot.artifact, "train")]
    assert pairs == [
        ("Two.", 3, True),
        ("One.", 2, True),
        ("Two.", 1, True),
        ("One.", 1, False),
        ("Two.", 2, False),
        ("One.", 3, False),
        ("Answer 12.", 1, None),
    ]


@pytest.mark.once
def test_its_rows_have_the_columns_of_today(snapshot):
    rows = list(read(snapshot.artifact.path))
    assert Counter((row["kind"], row["source"]) for row in rows) == {
        ("compare", "label"): 8,
        ("ranked", "rank"): 1,
    }
    assert (rows[2]["items"], rows[2]["answer"]) == (["One.", "Two."], '{"choice": 2}')
    assert (rows[2]["rationale"], rows[2]["flags"]) == ("Kinder.", ["false"])


@pytest.mark.once
def test_its_page_shows_it(snapshot, client, project):
    client.force_login(a_user(project, Role.RESEARCHER))
    page = client.get(reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    (tally,) = page.context["tallies"]
    assert {n for _, n in tally.answers} == {1}
    assertContains(page, "A ranked above B", 1)
    assertContains(page, "B much better")


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "rows", "table"),
    [
        (
            "trl_preference_conversational",
            "7ee1d678d75ab995ef1a978086992e3b7a8b21dff66863368560104156f4f1fd",
            "03d36a743bf6fcacf37776d9a663cb190ef0760e40db9d062dd6ceb6aee02804",
        ),
        (
            "trl_preference_plain",
            "a03315b6e84441d8f1aee521862caf00dc7f5078afec56611421400c57d42b25",
            "bf215ed2a7b85dc2340599e4cee78eff61de2122dba96f49c79cc78a242d9a31",
        ),
    ],
)
def test_the_rows_of_its_export_have_the_bytes_that_they_had(snapshot, tmp_path, name, rows, table):
    """Of the versions of pyarrow and zstd that are pinned."""
    folder = tmp_path / name_of(snapshot, EXPORTS[name])
    for _ in write_folder(folder, snapshot, EXPORTS[name]):
        continue
    assert file_sha256(folder / "preference" / "train.jsonl") == rows
    assert file_sha256(folder / "preference" / "train.parquet") == table
    archive = zipped(folder)
    assert archive.name == f"snapshot-1-{name}.zip".replace("_", "-")
    ways = {Path(one.filename).suffix: one.compress_type for one in ZipFile(archive).infolist()}
    assert (ways[".parquet"], ways[".jsonl"]) == (ZIP_STORED, ZIP_DEFLATED)


@pytest.mark.once
@pytest.mark.parametrize("name", EXPORTS)
def test_it_is_exported_in_every_format_that_its_answers_fit(snapshot, tmp_path, name):
    found = sum(1 for _ in write_folder(tmp_path / "out", snapshot, EXPORTS[name]))
    assert found


def test_what_its_export_leaves_out_is_counted(snapshot):
    losses = losses_of(snapshot, EXPORTS["trl_preference_plain"])
    found = {str(loss.words): loss.n for loss in losses}
    assert found["Answers without a preference between different texts"] == 2
    assert found["Reasons that annotators gave"] >= 1
    assert found["Answers with a flag"] >= 1


def test_an_export_of_before_is_still_imported(project):
    reading = held(BEFORE / "export.zip")
    assert reading.refusals == []
    added = take_in(project, reading, Plan(Become.PREFERENCES))
    assert (added.labels, added.preferences) == (6, 1)
    said = Counter(
        (label.shown[label.said.better].text, label.said.strength, label.said.better)
        for label in Label.objects.all()
    )
    assert said == {
        ("Two.", 3, 0): 1,
        ("One.", 2, 0): 1,
        ("Two.", 1, 0): 1,
        ("One.", 1, 1): 1,
        ("Two.", 2, 1): 1,
        ("One.", 3, 1): 1,
    }
