"""A question about a task: asked on the label page, answered by a researcher, seen by who asked."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_user, again, some_tasks
from webapp.accounts.roles import Role
from webapp.labeling import questions
from webapp.labeling.asked import Question
from webapp.labeling.questions import answer_question, ask_question
from webapp.labeling.queue import claim
from webapp.labeling.services import LabelingError


@pytest.fixture
def held(project, ana):
    """A task that she works on."""
    some_tasks(project)
    return claim(project, ana)


def test_a_question_is_asked_and_answered_on_the_pages(project, held, ana, researcher, client):
    client.force_login(ana)
    assertContains(client.get(reverse("labeling:label", args=[project.pk])), "Ask about this task")
    sent = {"assignment": held.pk, "text": "Is <b>this</b> a joke?"}
    page = client.post(reverse("labeling:ask", args=[project.pk]), sent, follow=True)
    assertContains(page, "Your question is asked")
    asked = Question.objects.get()
    client.force_login(researcher)
    url = reverse("labeling:questions", args=[project.pk])
    assertContains(client.get(url), "Is &lt;b&gt;this&lt;/b&gt; a joke?")
    answering = reverse("labeling:answer_question", args=[project.pk, asked.pk])
    assertContains(client.post(answering, {"text": "It is."}, follow=True), "is told")
    assertContains(
        client.post(answering, {"text": "No."}, follow=True), "Somebody else has answered"
    )
    client.force_login(ana)
    assertContains(client.get(url), "It is.")
    assert again(asked).answered_by == researcher


@pytest.mark.once
def test_both_are_told(project, held, ana, researcher):
    asked = ask_question(held, "Is this\na joke?")
    assert [one.sentence for one in researcher.notifications.all()] == [
        "A question about a task: Is this a joke?"
    ]
    answer_question(asked, "It is.", by=researcher)
    (told,) = ana.notifications.all()
    assert told.sentence.startswith("Your question about a task is answered")


@pytest.mark.once
def test_others_who_label_neither_see_nor_answer_it(project, held, client):
    asked = ask_question(held, "Is this a joke?")
    client.force_login(a_user(project, Role.ANNOTATOR))
    assertNotContains(client.get(reverse("labeling:questions", args=[project.pk])), "joke")
    url = reverse("labeling:answer_question", args=[project.pk, asked.pk])
    assert client.post(url, {"text": "No."}).status_code == 404


@pytest.mark.parametrize("text", ["", " ", "x" * 2001])
def test_what_is_no_question_is_refused_in_words(project, held, ana, client, text):
    client.force_login(ana)
    sent = {"assignment": held.pk, "text": text}
    page = client.post(reverse("labeling:ask", args=[project.pk]), sent, follow=True)
    assertContains(page, 'data-kind="error"')
    assert not Question.objects.exists()


@pytest.mark.once
def test_nobody_asks_about_what_is_not_theirs_or_without_end(project, held, client, monkeypatch):
    client.force_login(a_user(project, Role.ANNOTATOR))
    sent = {"assignment": held.pk, "text": "Why?"}
    client.post(reverse("labeling:ask", args=[project.pk]), sent)
    assert not Question.objects.exists()
    monkeypatch.setattr(questions, "MOST_OPEN", 1)
    ask_question(held, "Why?")
    with pytest.raises(LabelingError, match="no more"):
        ask_question(held, "Why not?")
