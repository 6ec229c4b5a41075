"""The pages of disagreements, and how one is decided there."""

import re
from importlib import import_module
from uuid import uuid4

import pytest
from django.apps import apps
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_completion, a_label, a_project, a_prompt, a_user, some_tasks
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.services import Ask, create_tasks, submit_label, undo
from webapp.quality.disagreements import disputes
from webapp.quality.models import Adjudication

pytestmark = pytest.mark.django_db
MIGRATION = import_module("webapp.labeling.migrations.0020_contested")


@pytest.fixture
def url(project):
    return reverse("quality:disagreements", args=[project.pk])


@pytest.fixture
def page(project, disputed):
    return reverse("quality:disagreement", args=[project.pk, disputed.pk])


def tasks_of(found):
    return [label.task_id for label in found]


def test_each_task_is_listed_once_by_what_is_said_of_its_answers(rita, url, disputed):
    a_label(disputed, 4)
    response = rita.get(url)
    assertContains(response, disputed.prompt.text, count=1)
    for words in ("A: chosen (1)", "B: chosen (1)", "tie (1)"):
        assertContains(response, words)


@pytest.mark.once
def test_who_says_the_same_from_other_sides_does_not_disagree(rita, url, project, ana, ben):
    (task,) = some_tasks(project, need=2)
    a_label(task, 2, annotator=ana)
    a_label(task, 5, annotator=ben)
    assertContains(rita.get(url), "There is no such task")


def test_machines_make_no_disagreement_unless_they_are_asked_for(rita, url, project, ana):
    (task,) = some_tasks(project, need=2)
    a_label(task, 2, annotator=ana)
    a_label(task, 2, annotator=a_user(simulated=True))
    assertNotContains(rita.get(url), task.prompt.text)
    assertContains(rita.get(url, {"by": "everybody"}), task.prompt.text)


@pytest.mark.once
def test_what_people_disagree_about_is_marked_beside_what_machines_do(project, ana, ben):
    """As answers come and are revised, and by the migration that reads those that were there before."""
    (task,) = some_tasks(project, need=3)
    a_label(task, 2, annotator=ana)
    a_label(task, 2, annotator=a_user(simulated=True))  # who sees them the other way around
    his = a_label(task, 6, annotator=ben)
    marked = task.labels.filter(superseded=False, contested=True)
    assert {one.annotator for one in marked.all()} == {ana, ben}
    task.labels.update(contested=False)
    MIGRATION.mark_contested(apps, None)
    assert {one.annotator for one in marked.all()} == {ana, ben}
    submit_label(his.assignment, client_id=uuid4(), answer={"choice": 2})
    assert not marked.all().exists()
    assert task.labels.filter(superseded=False, disputed=True).count() == 3


def test_an_answer_that_is_taken_back_is_no_disagreement(project, disputed):
    *_, last = disputed.labels.order_by("pk")
    undo(last.annotator, last.client_id)
    assert not disputes(project)


def test_other_projects_and_kinds_are_not_listed(project, disputed):
    assert tasks_of(disputes(project, kind="compare")) == [disputed.pk]
    assert tasks_of(disputes(project, kind="other")) == tasks_of(disputes(a_project())) == []


@pytest.mark.parametrize(
    ("sent", "verdict"), [({"act": "choose-2"}, "0>1"), ({"act": "choose-4"}, "0=1")]
)
def test_a_button_decides_by_the_letters_of_the_page(rita, url, page, disputed, sent, verdict):
    assertRedirects(rita.post(page, sent | {"key": uuid4(), "rationale": "So."}), page)
    made = Adjudication.objects.get()
    assert (made.verdict, made.rationale, made.task_id) == (verdict, "So.", disputed.pk)
    assertNotContains(rita.get(url), disputed.prompt.text)
    assertContains(rita.get(url, {"show": "decided"}), disputed.prompt.text)


@pytest.mark.once
def test_what_somebody_said_can_be_taken_for_right(rita, page, disputed):
    label = disputed.labels.first()
    rita.post(page, {"key": uuid4(), "label": label.pk})
    assert Adjudication.objects.get().verdict == label.verdict


@pytest.mark.once
def test_a_label_of_another_task_decides_nothing(rita, page, project):
    foreign = a_label(some_tasks(project)[0])
    assertContains(rita.post(page, {"key": uuid4(), "label": foreign.pk}), "nothing was decided")
    assert not Adjudication.objects.exists()


@pytest.mark.once
def test_without_a_choice_the_page_says_so_and_keeps_the_words(rita, page):
    response = rita.post(page, {"key": uuid4(), "rationale": "My words."})
    assertContains(response, "Choose what is right first")
    assertContains(response, "My words.")


@pytest.mark.once
def test_fields_that_are_no_answer_are_refused(rita, page):
    assertContains(rita.post(page, {"key": uuid4(), "choice": "9"}), "no answer to this task")


def test_a_decision_is_taken_back_by_a_button(rita, url, page, disputed):
    rita.post(page, {"key": uuid4(), "act": "choose-1"})
    assertContains(rita.get(page), "Take it back")
    assertRedirects(rita.post(f"{page}withdraw/"), page)
    assertContains(rita.get(page), "taken back")
    assertContains(rita.get(url), disputed.prompt.text)


@pytest.mark.once
def test_another_projects_task_is_not_found(rita, project):
    foreign = some_tasks(a_project())[0]
    path = reverse("quality:disagreement", args=[project.pk, foreign.pk])
    assert rita.get(path).status_code == rita.post(f"{path}withdraw/").status_code == 404


def test_a_page_of_disagreements_takes_few_queries(
    rita, url, project, disputed, django_assert_max_num_queries
):
    tasks = some_tasks(project, 5, need=2)
    for task in tasks:
        a_label(task)
        a_label(task)
    with django_assert_max_num_queries(12):
        assertContains(rita.get(url), tasks[0].prompt.text)


@pytest.mark.once
@pytest.mark.parametrize("kind", TASK_KINDS.values(), ids=TASK_KINDS)
def test_a_task_of_any_kind_can_be_looked_at(rita, project, kind):
    """What answers it is there: buttons of its own, or the fields of its controls."""
    prompt = a_prompt(project)
    items = [a_completion(prompt) for _ in range(kind.items[0])]
    create_tasks(project, kind.name, [Ask(prompt.pk, items)], need=1)
    page = rita.get(reverse("quality:disagreement", args=[project.pk, prompt.tasks.get().pk]))
    named = {"act", *kind.Answer.model_fields}
    assert re.search(rf'name="({"|".join(named)})["[.]', page.content.decode())
