"""Bands of the queue: what is urgent comes first, what is for later last, each in the order that it had."""

import pytest
from django.core.management import call_command
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_project, a_user, again, some_prompts, some_tasks
from webapp.accounts.roles import Role
from webapp.audit.models import AuditEntry
from webapp.jobs.models import Job, State
from webapp.jobs.tasks import work
from webapp.labeling import cursors, dispatch, queue
from webapp.labeling.banding import put_in_band, start_banding
from webapp.labeling.bands import USUAL, WIDTH, Band, band_of
from webapp.labeling.making import TasksWanted, make_tasks
from webapp.labeling.models import Task
from webapp.labeling.written import leave_out

pytestmark = pytest.mark.django_db
EDGES = {-WIDTH: "urgent", -1: "urgent", 0: "normal", 999: "normal", 1000: "later", 5000: "later"}


def bands(tasks):
    return [again(task).band for task in tasks]


@pytest.mark.parametrize(("priority", "band"), EDGES.items())
def test_each_priority_is_in_one_band_which_finds_it(project, priority, band):
    (task,) = some_tasks(project)
    Task.objects.filter(pk=task.pk).update(priority=priority)
    assert band_of(priority) == again(task).band == band
    found = [one for one in Band.values if Task.objects.in_band(one).exists()]
    assert found == [band]
    assert Task.objects.in_band("").count() == Task.objects.in_band("none").count() == 1


def test_a_band_is_handed_out_in_the_order_that_its_tasks_had(project, ana):
    first, second, third, fourth = some_tasks(project, 4)
    Task.objects.filter(pk=fourth.pk).update(priority=50)  # before the others of its band
    assert put_in_band(project, [first.pk], Band.LATER) == 1
    assert put_in_band(project, [third.pk, fourth.pk], Band.URGENT) == 2
    held = queue.claim_page(project, ana)
    assert [card.task for card in held] == [fourth, third, second, first]
    assert put_in_band(project, [third.pk, fourth.pk], Band.URGENT) == 0
    put_in_band(project, [third.pk, fourth.pk], Band.NORMAL)
    assert again(fourth).priority == 50
    assert again(third).priority == USUAL


def test_what_becomes_urgent_behind_somebody_is_found_by_them(project, ana):
    tasks = some_tasks(project, cursors.FAR + 5, need=2)
    for task in tasks:
        leave_out(task, ana.pk)
    (late,) = some_tasks(project)
    cursors.move_cursor(project, ana)
    put_in_band(project, [late.pk], Band.URGENT)
    assert queue.claim(project, ana).task == late


def test_only_tasks_of_the_project_are_moved(project):
    other = some_tasks(a_project())
    assert put_in_band(project, [other[0].pk], Band.URGENT) == 0
    assert bands(other) == ["normal"]


def test_all_that_a_filter_finds_are_moved_by_a_job(project, researcher, client):
    tasks = some_tasks(project, 3)
    dispatch.ask_nobody(project, [tasks[0].pk])
    client.force_login(researcher)
    url = reverse("labeling:bands", args=[project.pk])
    assertContains(
        client.get(f"{reverse('labeling:tasks', args=[project.pk])}?state=open"),
        f"{url}?state=open",
    )
    client.post(f"{url}?state=open&kind=compare", {"band": "later"})
    job = Job.objects.get()
    work(job.pk)
    assert (again(job).state, again(job).result) == (State.DONE, {"tasks": 2, "band": "later"})
    assert bands(tasks) == ["normal", "later", "later"]
    assert AuditEntry.objects.filter(act="task.changed", facts__tasks=2).count() == 1
    assertContains(
        client.get(reverse("jobs:detail", args=[project.pk, job.pk])), "2 tasks changed."
    )


def test_a_band_that_is_none_moves_nothing(project, researcher, client):
    some_tasks(project)
    client.force_login(researcher)
    url = reverse("labeling:bands", args=[project.pk])
    assertContains(client.post(url, {"band": "first"}, follow=True), "Choose a band")
    assertContains(client.post(f"{url}?state=odd", {"band": "later"}, follow=True), "Choose a band")
    assert not Job.objects.exists()


def test_chosen_tasks_are_moved_at_once(project, researcher, client):
    tasks = some_tasks(project, 2)
    client.force_login(researcher)
    url = reverse("labeling:dispatch", args=[project.pk])
    client.post(url, {"act": "urgent", "task": [tasks[1].pk]})
    assert bands(tasks) == ["normal", "urgent"]
    page = client.get(reverse("labeling:tasks", args=[project.pk]), {"band": "urgent"})
    assert [task.pk for task in page.context["page"]] == [tasks[1].pk]


def test_tasks_are_made_in_a_band(project):
    some_prompts(project, 2, split="train")
    make_tasks(project, TasksWanted("demonstrate", most=1, band=Band.URGENT))
    call_command("make_tasks", project.name, "demonstrate", "--band", "later")
    assert sorted(Task.objects.values_list("priority", flat=True)) == [USUAL - WIDTH, USUAL + WIDTH]


def test_a_job_of_bands_goes_on_where_others_add_tasks(project, monkeypatch):
    monkeypatch.setattr("webapp.labeling.banding.AT_ONCE", 1)
    some_tasks(project, 2)
    job = start_banding(project, {"state": "", "kind": "", "band": ""}, Band.URGENT)
    work(job.pk)
    assert again(job).result["tasks"] == 2
    assert queue.claim(project, a_user(project, Role.ANNOTATOR)).task.band == "urgent"
