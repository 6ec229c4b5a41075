"""Which flags hold for an answer: what is kept of it, and what a classifier learns."""

from uuid import uuid4

import pytest
from pydantic import ValidationError

from alignment.classification.texts import FLAGGED, OTHER, judged_texts
from alignment.kinds.classify.settings import ClassifyConfig
from alignment.seam.records import FlagRecord, JudgedRecord, Message, PromptRecord
from tests.factories import a_user, tasks_of
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import judged_of, labels_of
from webapp.labeling.composition import Composition
from webapp.labeling.kinds.descriptor import Asked
from webapp.labeling.kinds.flags import KIND, Answer
from webapp.labeling.queue import claim
from webapp.labeling.services import submit_label

pytestmark = pytest.mark.once

PROMPT = PromptRecord(key="k", messages=(Message(role="user", content="Why?"),))


def test_flags_are_said_in_one_order_whoever_set_them():
    one, other = Answer(holds=["refuses", "harmful"]), Answer(holds=["harmful", "refuses"])
    assert KIND.verdict(one, [0]) == KIND.verdict(other, [0]) == "harmful,refuses"
    assert KIND.words(one).text == "Harmful, Refuses"
    assert (KIND.verdict(Answer(none="yes"), [0]), KIND.words(Answer(none="yes")).text) == (
        "none",
        "no flag",
    )


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"holds": []},
        {"holds": ["any"]},
        {"holds": ["rude"]},
        {"holds": ["false"], "none": "yes"},
    ],
)
def test_what_says_nothing_or_two_things_is_no_answer(sent):
    with pytest.raises(ValidationError):
        Answer(**sent)


def test_only_flags_that_the_project_offers_have_keys_and_fit():
    form = Composition(flags=["false", "refuses"])
    assert [(key.usual, key.word) for key in KIND.composed_keys(form)] == [
        ("1", "false"), ("2", "refuses"), ("0", "none"),
    ]  # fmt: skip
    assert KIND.is_answer(Answer(holds=["false"]), form, 1)
    assert not KIND.is_answer(Answer(holds=["harmful"]), form, 1)


def test_a_snapshot_keeps_them_and_a_classifier_learns_from_them(project):
    tasks = tasks_of(project, "flags", 2, size=1)
    ana = a_user(project, Role.ANNOTATOR)
    texts = {}
    for answer in ({"holds": ["false"]}, {"none": "yes"}):
        held = claim(project, ana)
        texts[held.shown[0].text] = answer.get("holds", [])
        submit_label(held, client_id=uuid4(), answer=answer)
    artifact = freeze_snapshot(project).artifact
    assert len(tasks) == len(texts) == 2
    assert list(labels_of(artifact, "train")) == []  # a reward model learns nothing of flags
    judged = list(judged_of(artifact, "train"))
    assert {one.labels[0].completion: list(one.flags) for one in judged} == texts
    assert all(isinstance(one.labels[0], FlagRecord) for one in judged)
    read = [JudgedRecord.model_validate_json(one.model_dump_json()) for one in judged]
    found = judged_texts(read, ClassifyConfig(source="people", meaning="flags", flag="false"))
    votes = {row.completion: row.votes for row in found.rows}
    assert votes == {text: {"false" if flags else OTHER: 1} for text, flags in texts.items()}
    assert FLAGGED not in found.classes


def test_what_they_find_is_a_record_of_one_answer():
    (record,) = KIND.records(Asked(PROMPT, ("Because.",), "ana"), Answer(holds=["false"]))
    assert record == FlagRecord(
        prompt=PROMPT, completion="Because.", flags=("false",), annotator="ana"
    )
