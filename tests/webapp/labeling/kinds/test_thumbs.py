"""A thumb for one answer: what is learned from it, and when two people agree."""

import pytest
from pydantic import ValidationError

from alignment.seam.records import Message, PromptRecord, ThumbRecord
from webapp.labeling.kinds.descriptor import Asked
from webapp.labeling.kinds.thumbs import KIND, Answer

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


def test_each_answer_is_asked_about_by_itself():
    assert list(KIND.ask(["a", "b"])) == [("a",), ("b",)]
