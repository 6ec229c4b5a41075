"""A thumb for one answer: what is learned from it, and when two people agree."""

from uuid import uuid4

import pytest
from pydantic import ValidationError

from alignment.kinds import KINDS
from alignment.rows.found import Graded, Thumbed
from alignment.seam.records import Message, PromptRecord, ThumbRecord, read_jsonl
from tests.factories import a_run, a_user, an_artifact, tasks_of
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.kinds.descriptor import Asked
from webapp.labeling.kinds.thumbs import KIND, Answer
from webapp.labeling.queue import claim
from webapp.labeling.services import submit_label
from webapp.launch.checks import FEWEST_PAIRS, few_labels
from webapp.launch.checks import Asked as AskedRun
from webapp.runs.inputs import prepare

PROMPT = PromptRecord(key="k", messages=(Message(role="user", content="Why?"),))


@pytest.mark.parametrize(
    ("thumb", "good", "words"), [("up", True, "good"), ("down", False, "not good")]
)
def test_a_thumb_is_a_record_of_its_own_with_who_gave_it(thumb, good, words):
    answer = Answer(thumb=thumb)
    (record,) = KIND.records(Asked(PROMPT, ("Because.",), "ana"), answer)
    assert record == ThumbRecord(prompt=PROMPT, completion="Because.", good=good, annotator="ana")
    assert (KIND.verdict(answer, [0]), KIND.words(answer).text) == (thumb, words)


@pytest.mark.parametrize("sent", ["", "1", True, None, "sideways"])
def test_anything_else_is_no_thumb(sent):
    with pytest.raises(ValidationError):
        Answer(thumb=sent)


def test_a_thumb_of_a_file_is_one():
    assert KIND.imported(Thumbed(good=False)) == Answer(thumb="down")
    assert KIND.imported(Graded(mark=1, highest=2)) is None


def test_each_answer_is_asked_about_by_itself():
    assert list(KIND.ask(["a", "b"])) == [("a",), ("b",)]


@pytest.fixture
def snapshot(project):
    """Labels of one person: thumbs in turns, and a good, a middling and a bad mark."""
    tasks_of(project, "thumbs", 4, size=1)
    tasks_of(project, "rate", 3, size=1, priority=200)
    ana = a_user(project, Role.ANNOTATOR)
    thumbs = [{"thumb": thumb} for thumb in ("up", "down") * 2]
    marks = [{"marks": [f"A:quality:{mark}/7"]} for mark in (7, 4, 1)]
    for answer in thumbs + marks:
        submit_label(claim(project, ana), client_id=uuid4(), answer=answer)
    return freeze_snapshot(project)


def test_kto_reads_thumbs_of_a_snapshot_and_marks_off_the_middle(snapshot, project, tmp_path):
    model = an_artifact(project, tmp_path / "model")
    inputs = {"policy": model, "reference": model, "labels": snapshot.artifact}
    run = a_run(project, "prefer", {"loss": "kto", "learned": "thumbs"}, inputs=inputs)
    folder = tmp_path / "run"
    folder.mkdir()
    paths = prepare(run, folder)
    read = list(read_jsonl(tmp_path / paths["thumbs"], ThumbRecord))
    assert [thumb.good for thumb in read] == [True, False, True, False, True, False]
    assert snapshot.alone_in("train") == 7
    assert snapshot.pairs_in("train") == 0


@pytest.mark.once
def test_a_snapshot_of_thumbs_alone_starts_what_learns_from_them(snapshot):
    starts = {}
    for alone in (FEWEST_PAIRS["train"], 3):
        snapshot.manifest["alone"] = {"train": alone}
        for kind, config in (
            ("reward", {}),
            ("prefer", {"loss": "kto", "learned": "thumbs"}),
            ("prefer", {"loss": "kto"}),
        ):
            asked = AskedRun(KINDS[kind].settings(**config), {"labels": snapshot.artifact})
            starts[alone, kind, len(config)] = [text for _, text in few_labels(asked, KINDS[kind])]
    assert [key for key, told in starts.items() if not told] == [
        (16, "reward", 0),
        (16, "prefer", 2),
    ]
    assert "3 answers in the train split that people liked or not" in starts[3, "prefer", 2][0]
