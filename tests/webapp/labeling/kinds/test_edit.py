"""Editing an answer: what is learned from an edit, and what is none."""

import pytest
from django.urls import reverse
from pydantic import ValidationError
from pytest_django.asserts import assertContains

from alignment.seam.records import Message, PromptRecord
from tests.factories import a_completion, a_prompt, a_user
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import imitated_of, labels_of
from webapp.labeling.kinds.descriptor import Asked
from webapp.labeling.kinds.edit import KIND, Answer
from webapp.labeling.kinds.writing import SHOWN
from webapp.labeling.models import Completion, Label
from webapp.labeling.queue import claim
from webapp.labeling.services import ask_about

PROMPT = PromptRecord(key="k", messages=(Message(role="user", content="Why?"),))
ASKED = Asked(PROMPT, ("It is so.",), "ana")


def test_an_edit_is_better_than_what_it_was_made_from_and_is_imitated():
    pair, imitated = KIND.records(ASKED, Answer(text="It is so because."))
    assert (pair.chosen, pair.rejected) == ("It is so because.", "It is so.")
    assert (pair.annotator, imitated.completion) == ("ana", "It is so because.")


def test_what_is_good_as_it_is_is_liked_and_imitated():
    thumb, imitated = KIND.records(ASKED, Answer(good="yes", text="whatever a form sent"))
    assert (thumb.good, thumb.completion) == (True, "It is so.")
    assert imitated.completion == "It is so."


@pytest.mark.parametrize("fields", [{}, {"text": " "}, {"good": "no"}, {"text": "a", "more": 1}])
def test_what_is_neither_is_no_answer(fields):
    with pytest.raises(ValidationError):
        Answer(**fields)


@pytest.mark.parametrize("text", ["It is so.", " It is so.\n"])
def test_an_unchanged_text_is_refused_in_words(text):
    assert "Nothing is changed" in KIND.objection(Answer(text=text), ["It is so.\r\n"])
    assert KIND.objection(Answer(text=text), ["It was so."]) == ""
    assert KIND.objection(Answer(good="yes"), ["It is so."]) == ""


def test_two_who_edit_agree_that_it_needed_an_edit():
    verdicts = [KIND.verdict(one, [0]) for one in (Answer(text="a"), Answer(text="b"))]
    assert verdicts == ["edited", "edited"]
    assert KIND.verdict(Answer(good="yes"), [0]) == "good"


def test_each_text_is_asked_about_once():
    answers = [Completion(prompt_id=1, text=text) for text in ["a", "b", "a "]]
    assert [[one.text.strip() for one in task] for task in KIND.ask(answers)] == [["a"], ["b"]]


def test_a_table_shows_the_beginning_of_a_long_edit():
    assert len(KIND.words(Answer(text="long " * SHOWN)).text) == SHOWN


def test_both_answers_are_stored_frozen_and_shown(project, ana, client):
    prompt = a_prompt(project, split="train")
    answers = [a_completion(prompt, text) for text in ("Good.", "Bad <i>.")]
    assert ask_about(project, "edit", answers, need=1) == 2
    client.force_login(ana)
    url = reverse("labeling:label", args=[project.pk])
    for number in range(2):
        held = claim(project, ana)
        original = held.shown[0].text
        sent = {"assignment": held.pk, "client_id": f"{number:032}"}
        refused = client.post(url, sent | {"text": original})
        assertContains(refused, "Nothing is changed")
        answer = {"good": "yes", "text": original} if original == "Good." else {"text": "Better."}
        assert client.post(url, sent | answer).status_code == 302
    said = {one.shown[0].text: one.answer for one in Label.objects.all()}
    assert said == {
        "Good.": {"good": "yes", "text": None},
        "Bad <i>.": {"good": None, "text": "Better."},
    }
    artifact = freeze_snapshot(project).artifact
    assert sorted(one.kind for one in labels_of(artifact, "train")) == ["pair", "thumb"]
    assert sorted(one.completion for one in imitated_of(artifact, "train")) == ["Better.", "Good."]
    client.force_login(a_user(project, Role.RESEARCHER))
    table = client.get(reverse("labeling:labels", args=[project.pk]))
    assertContains(table, "A · edited")
    assertContains(table, "Better.")
