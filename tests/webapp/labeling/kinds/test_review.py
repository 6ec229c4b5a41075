"""Prompts that people write, judged by others before anything uses them."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_prompt, a_user, again
from webapp.accounts.roles import Role
from webapp.datasets.snapshots import records_of
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.review import KIND, Answer
from webapp.labeling.making import TasksWanted, make_tasks
from webapp.labeling.models import Label, Task
from webapp.labeling.queue import claim
from webapp.labeling.reviews import ask_for_reviews
from webapp.labeling.services import LabelingError, submit_label, undo_label
from webapp.projects.models import Prompt, PromptStanding
from webapp.projects.services import set_reviews
from webapp.quality.adjudication import Decision, adjudicate, take_decision_back

pytestmark = pytest.mark.once

ACCEPT = {"decision": "accept"}
REJECT = {"decision": "reject", "reason": "Two questions in one."}


@pytest.fixture
def prompt(project, ana):
    """One that ana wrote, which two of three must accept."""
    set_reviews(project, reviews=3, accepts=2)
    prompt = a_prompt(project, split="train", author=ana, standing=PromptStanding.WAITING)
    ask_for_reviews(prompt)
    return prompt


def judged(prompt, answer):
    held = claim(prompt.project, a_user(prompt.project, Role.ANNOTATOR))
    return submit_label(held, client_id=uuid4(), answer=answer)


@pytest.mark.parametrize(
    ("answers", "standing"),
    [
        ([ACCEPT], "waiting"),
        ([ACCEPT, REJECT], "waiting"),
        ([ACCEPT, ACCEPT], "accepted"),
        ([REJECT, REJECT], "rejected"),
        ([REJECT, ACCEPT, REJECT], "rejected"),
        ([REJECT, ACCEPT, ACCEPT], "accepted"),
    ],
)
def test_it_is_used_as_soon_as_enough_have_accepted_it(project, prompt, answers, standing):
    for answer in answers:
        assert not project.prompts.for_labels()
        assert not project.prompts.of_split("train")
        assert make_tasks(project, TasksWanted("demonstrate", most=9)).new == 0
        judged(prompt, answer)
    assert again(prompt).standing == standing
    assert list(project.prompts.of_split("train")) == [prompt] * (standing == "accepted")
    assert make_tasks(project, TasksWanted("demonstrate", most=9)).new == (standing == "accepted")


def test_who_takes_an_acceptance_back_lets_it_wait_again(prompt):
    judged(prompt, ACCEPT)
    label = judged(prompt, ACCEPT)
    undo_label(label.annotator, label.client_id)
    assert again(prompt).standing == PromptStanding.WAITING


@pytest.mark.twice
def test_a_decision_speaks_for_the_reviewers_until_it_is_taken_back(project, prompt, researcher):
    judged(prompt, ACCEPT)
    task = judged(prompt, REJECT).task
    adjudicate(task, Decision.by_place(task, REJECT), by=researcher, key=uuid4())
    assert again(prompt).standing == PromptStanding.REJECTED
    judged(prompt, ACCEPT)
    assert again(prompt).standing == PromptStanding.REJECTED
    take_decision_back(task, by=researcher)
    assert again(prompt).standing == PromptStanding.ACCEPTED


def test_its_author_is_not_asked_about_it(project, prompt, ana, client):
    ask_for_reviews(prompt)
    assert Task.objects.count() == 1
    assert claim(project, ana) is None
    assert Task.objects.get().skips == 0
    client.force_login(a_user(project, Role.RESEARCHER))
    assertContains(client.get(reverse("labeling:tasks", args=[project.pk])), "Wrote it")


def test_a_rejection_without_a_reason_is_refused_in_words(prompt):
    with pytest.raises(LabelingError, match="Say why it is rejected"):
        judged(prompt, {"decision": "reject", "reason": " "})
    assert not Label.objects.exists()


def test_it_is_no_task_that_somebody_makes_and_no_label_to_learn_from():
    assert not KIND.made
    assert set(KIND.records(None, Answer(**ACCEPT))) == set()
    assert list(KIND.ask([])) == []


def test_the_page_stores_it_waiting_and_shows_its_author_why_it_was_rejected(project, client, ana):
    set_reviews(project, reviews=1, accepts=1)
    client.force_login(ana)
    url = reverse("prompts", args=[project.pk])
    assertContains(client.get(url), "once 1 of 1 reviewers have accepted it")
    page = client.post(url, {"text": "Why and how?"}, follow=True)
    assertContains(page, "waits for its reviews")
    assertContains(page, "waits for a review</span>")
    prompt = Prompt.objects.get()
    assert (prompt.standing, prompt.author) == (PromptStanding.WAITING, ana)
    judged(prompt, REJECT)
    page = client.get(url)
    assertContains(page, "rejected</span>")
    assertContains(page, "“Two questions in one.”")
    client.force_login(a_user(project, Role.RESEARCHER))
    table = client.get(reverse("labeling:labels", args=[project.pk]))
    assertContains(table, "rejected: Two questions in one.")


def test_an_admin_says_how_many_judge_and_others_see_it(project, client, ana):
    client.force_login(a_user(project, Role.ADMIN))
    url = reverse("reviews", args=[project.pk])
    wanted = {"reviews": 3, "accepts": 2, "answer_reviews": 2, "answer_accepts": 1}
    for wrong in ("accepts", "answer_accepts"):
        assertContains(client.post(url, wanted | {wrong: 4}), "more than judge it")
    assertContains(client.post(url, wanted, follow=True), "Saved.")
    assert {name: getattr(again(project), name) for name in wanted} == wanted
    assertContains(client.get(reverse("prompts", args=[project.pk])), url)
    client.force_login(ana)
    assertNotContains(client.get(reverse("prompts", args=[project.pk])), url)


def test_reviews_are_frozen_with_the_rest(prompt):
    judged(prompt, ACCEPT)
    row = {"messages": "[]", "prompt_key": "", "kind": "review", "items": [], "annotator": ""}
    answer = TASK_KINDS["review"].canonical(Label.objects.get().answer)
    assert list(records_of(row | {"answer": answer})) == []
