"""What a project warns of is veiled, and whoever declines it is never asked about it."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_user, again, some_tasks
from tests.webapp.api.programs import Program
from webapp.accounts.roles import Role
from webapp.api.scopes import Scope
from webapp.api.tokens import make_token
from webapp.labeling.models import DECLINED, Assignment, Task
from webapp.labeling.queue import claim_page
from webapp.labeling.warned import decline_tags, put_aside_declined, warn_of
from webapp.projects.models import Project
from webapp.projects.tags import tag_prompts

pytestmark = pytest.mark.once

State = Assignment.State
TAG = "violence"


@pytest.fixture
def project(project):
    warn_of(project, [TAG])
    return again(project)


@pytest.fixture
def tasks(project):
    """Six, of which every other one is tagged."""
    tasks = some_tasks(project, 6)
    tag_prompts(project, [task.prompt_id for task in tasks[::2]], TAG)
    return tasks


def member(project, person, *tags):
    row = project.memberships.get(user=person)
    decline_tags(row, tags)
    return row


def label_page(client, project):
    return client.get(reverse("labeling:label", args=[project.pk]))


def test_a_tagged_task_is_veiled_and_another_is_not(project, tasks, client, ana):
    client.force_login(ana)
    page = label_page(client, project)
    assertContains(page, 'class="unveil"', count=2)
    assertContains(page, f"This project warns of: {TAG}")


def test_a_project_that_warns_of_nothing_asks_nothing_more(
    project, tasks, client, ana, django_assert_num_queries
):
    warn_of(project, [])
    with django_assert_num_queries(0):
        assert not put_aside_declined(Project(pk=project.pk), ana, [1])
    client.force_login(ana)
    assertNotContains(label_page(client, project), "unveil")


def test_whoever_declines_a_tag_gives_back_what_they_hold_and_is_not_asked_again(
    project, tasks, ana
):
    held = claim_page(project, ana)
    member(project, ana, TAG)
    assert {one.task_id for one in claim_page(project, ana, 6)} == {task.pk for task in tasks[1::2]}
    assert set(
        Task.objects.filter(pk__in=[one.task_id for one in held]).values_list("taken", flat=True)
    ) == {0, 1}
    assert not Task.objects.filter(skips__gt=0).exists()
    aside = Assignment.objects.filter(annotator=ana, skip_reason=DECLINED)
    assert {one.task_id for one in aside} == {task.pk for task in tasks[::2]}
    assert {one.reason for one in aside} == {"Declines its tag"}


def test_others_are_asked_about_it_all_the_same(project, tasks, ana):
    member(project, ana, TAG)
    bea = a_user(project, Role.ANNOTATOR)
    assert {one.task_id for one in claim_page(project, bea, 6)} == {task.pk for task in tasks}


@pytest.mark.twice
def test_what_is_tagged_later_is_passed_over_when_it_would_be_handed_out(project, client, ana):
    member(project, ana, TAG)
    tasks = some_tasks(project, 6)
    tag_prompts(project, [task.prompt_id for task in tasks[:5]], TAG)
    client.force_login(ana)
    page = label_page(client, project)
    assert [card.task_id for card in page.context["cards"]] == [tasks[5].pk]
    assert Task.objects.filter(taken__gt=0).count() == 1


def test_a_program_is_not_given_it_either(project, ana):
    member(project, ana, TAG)
    (task,) = some_tasks(project, 1)
    tag_prompts(project, [task.prompt_id], TAG)
    program = Program(make_token(ana, name="all", scopes=list(Scope)))
    assert program.post(f"/projects/{project.pk}/tasks/next").json() == {"card": None}


def test_a_tag_that_is_declined_no_more_is_asked_about_again(project, tasks, ana):
    member(project, ana, TAG)
    member(project, ana)
    assert len(claim_page(project, ana, 6)) == 6


@pytest.mark.twice
def test_a_person_declines_and_an_admin_names_tags_on_the_page(project, tasks, client, ana):
    client.force_login(ana)
    url = reverse("labeling:warnings", args=[project.pk])
    assertContains(client.get(url), TAG)
    assertContains(
        client.post(url, {"declined": TAG}, follow=True), "you are asked about none of that"
    )
    assert project.memberships.get(user=ana).declined == [TAG]
    assert client.post(url, {"declined": "other"}).context["form"].errors
    naming = reverse("labeling:name_warnings", args=[project.pk])
    assert client.post(naming, {"tags": "x"}).status_code == 404
    client.force_login(a_user(project, Role.ADMIN))
    client.post(naming, {"tags": " Self-harm, violence,"})
    assert again(project).warned_tags == ["self-harm", "violence"]
