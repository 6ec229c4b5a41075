"""Reviewers who change the words of a prompt while they accept it: its author is told, nothing is lost."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from alignment.seam.records import Message, prompt_key, split_of_prompt
from tests.factories import a_completion, a_prompt, a_user, again
from webapp.accounts.roles import Role
from webapp.labeling.models import Label
from webapp.labeling.queue import claim
from webapp.labeling.reviews import ask_for_reviews
from webapp.labeling.services import LabelingError, submit_label, undo_label
from webapp.projects.models import PromptStanding
from webapp.projects.services import set_reviews

pytestmark = pytest.mark.once

TEXT, BETTER = "How does it rains?", "Why does it rain?"


@pytest.fixture
def prompt(project, ana):
    """One that ana wrote, which two of three must accept."""
    set_reviews(project, reviews=3, accepts=2)
    prompt = a_prompt(project, TEXT, author=ana, standing=PromptStanding.WAITING)
    ask_for_reviews(prompt)
    return prompt


def accept(prompt, text="", was=TEXT, *, person=None):
    held = claim(prompt.project, person or a_user(prompt.project, Role.ANNOTATOR))
    answer = {"decision": "accept", "text": text, "was": was}
    return submit_label(held, client_id=uuid4(), answer=answer)


def test_the_new_words_are_its_words_and_the_old_ones_are_kept(prompt, client, ana):
    label = accept(prompt, BETTER + "\r\n")
    assert label.answer["text"] == BETTER
    now, turns = again(prompt), [Message(role="user", content=BETTER)]
    assert (now.text, now.key, now.split) == (BETTER, prompt_key(turns), split_of_prompt(turns))
    assert now.standing == PromptStanding.WAITING
    accept(prompt, BETTER, BETTER)
    assert again(prompt).standing == PromptStanding.ACCEPTED
    assert [one.text for one in prompt.wordings.all()] == [TEXT]
    client.force_login(ana)
    page = client.get(reverse("prompts", args=[prompt.project_id]))
    assertContains(page, f"Reworded by {label.annotator.shown_name}; before: “{TEXT}”")


@pytest.mark.parametrize("text", ["", TEXT, f" {TEXT}\r\n"])
def test_words_that_are_sent_as_they_were_are_no_change(prompt, text):
    assert accept(prompt, text).answer == {
        "decision": "accept", "reason": "", "text": "", "was": ""
    }  # fmt: skip
    assert again(prompt).text == TEXT
    assert not prompt.wordings.exists()


def test_who_rejects_it_changes_no_words(prompt):
    held = claim(prompt.project, a_user(prompt.project, Role.ANNOTATOR))
    answer = {"decision": "reject", "reason": "No.", "text": BETTER, "was": TEXT}
    assert submit_label(held, client_id=uuid4(), answer=answer).answer["text"] == ""
    assert again(prompt).text == TEXT


@pytest.mark.twice
def test_an_undo_brings_the_words_back_that_were_there_before(prompt):
    first = accept(prompt, "Why rain?")
    second = accept(prompt, BETTER, "Why rain?")
    undo_label(second.annotator, second.client_id)
    assert again(prompt).text == "Why rain?"
    undo_label(first.annotator, first.client_id)
    assert again(prompt).text == TEXT


@pytest.mark.twice
@pytest.mark.parametrize("case", ["changed meanwhile", "there already", "are there already"])
def test_words_that_cannot_be_its_words_are_refused_and_nothing_is_stored(prompt, case):
    person, was = a_user(prompt.project, Role.ANNOTATOR), TEXT
    if case == "changed meanwhile":
        accept(prompt, "Why rain?")
    elif case == "there already":
        a_prompt(prompt.project, BETTER)
        case = "of these words already"
    else:
        a_completion(prompt)
    before = Label.objects.count(), again(prompt).text
    told = "changed the words" if case == "changed meanwhile" else case
    with pytest.raises(LabelingError, match=told):
        accept(prompt, BETTER, was, person=person)
    assert (Label.objects.count(), again(prompt).text) == before


def test_what_is_used_keeps_its_words_when_a_reviewer_takes_theirs_back(prompt):
    label = accept(prompt, BETTER)
    a_completion(prompt)
    undo_label(label.annotator, label.client_id)
    assert again(prompt).text == BETTER


def test_without_scripts_the_words_stand_in_the_form_and_are_changed_there(prompt, project, client):
    client.force_login(a_user(project, Role.ANNOTATOR))
    url = reverse("labeling:label", args=[project.pk])
    page = client.get(url)
    assertContains(page, f"\n{TEXT}</textarea>", count=2)  # the words, and what they were
    (held,) = project.tasks.get().assignments.filter(state="leased")
    posted = {"assignment": held.pk, "client_id": uuid4(), "decision": "accept"}
    client.post(url, posted | {"text": BETTER, "was": TEXT})
    assert again(prompt).text == BETTER
