"""Freezing more labels than anybody waits for."""

import json

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertRedirects

from tests.factories import some_labels, some_tasks
from webapp.datasets import freezing
from webapp.datasets.services import freeze_snapshot
from webapp.jobs.models import Job, State
from webapp.jobs.services import cancel_job
from webapp.jobs.tasks import work
from webapp.labeling.models import Label
from webapp.projects.models import Split

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(project, client, researcher, var, monkeypatch):
    """Freezes six labels from the page; the job that does it."""
    monkeypatch.setattr(freezing, "FEW", 5)
    some_labels(some_tasks(project, 6))
    client.force_login(researcher)

    def asked(**form):
        page = client.post(reverse("datasets:snapshots", args=[project.pk]), form)
        job = Job.objects.first()
        assertRedirects(page, reverse("jobs:detail", args=[project.pk, job.pk]))
        return job

    return asked


def page_of(client, job):
    return client.get(reverse("jobs:detail", args=[job.project_id, job.pk]))


def test_many_labels_are_frozen_by_a_job_whose_page_leads_to_the_snapshot(
    asked, project, client, django_capture_on_commit_callbacks
):
    job = asked(include_simulated="on")
    assertContains(page_of(client, job), "Freeze the labels")
    with django_capture_on_commit_callbacks(execute=True):
        work(job.pk)
    snapshot = project.snapshots.get()
    assert (snapshot.labels, snapshot.created_by.username) == (6, "rita")
    address = reverse("datasets:snapshot", args=[project.pk, snapshot.pk])
    assertContains(page_of(client, job), f'href="{address}"')
    job.refresh_from_db()
    assert (job.progress, job.total) == (6, 6)
    assert not job.folder.exists()


def test_a_job_and_a_request_freeze_the_same_bytes(asked, project, client):
    wanted = freezing.FILTER.validate_python({"include_imported": False, "include_ranks": False})
    first = freeze_snapshot(project, wanted)
    work((job := asked(include_simulated="on")).pk)
    assert project.snapshots.get() == first
    assertContains(page_of(client, job), "Nothing has changed since the last snapshot")


def test_what_was_chosen_is_what_a_job_freezes(asked, project):
    prompts = project.prompts.order_by("pk")
    prompts.update(split=Split.TRAIN)
    kept = prompts.first().tags.create(name="kept").name
    some_labels(some_tasks(project, 6))
    project.prompts.last().tags.create(name="other")
    days = {"since": "2020-01-01", "until": "2999-01-01"}
    work(
        Job.objects.create(project=project, kind="freeze", payload=payload(tags=[kept], **days)).pk
    )
    snapshot = project.snapshots.get()
    assert snapshot.labels == 1
    assert snapshot.manifest["filter"]["tags"] == [kept]


def payload(**chosen):
    return json.loads(
        json.dumps(
            freezing.FILTER.dump_python(freezing.FILTER.validate_python(chosen), mode="json")
        )
    )


def test_one_that_is_cancelled_or_finds_nothing_leaves_nothing(asked, project, client, settings):
    cancel_job(job := asked(include_simulated="on"))
    work(job.pk)
    again = asked(include_simulated="on")
    Label.objects.all().delete()
    work(again.pk)
    assertContains(page_of(client, again), "There are no labels to freeze yet")
    states = set(Job.objects.values_list("state", flat=True))
    assert states == {State.CANCELLED, State.FAILED}
    assert not project.snapshots.exists()
    assert not project.artifacts.exists()
    assert not again.folder.exists()


def test_few_are_frozen_at_once(asked, project, client, monkeypatch):
    monkeypatch.setattr(freezing, "FEW", 6)
    page = client.post(
        reverse("datasets:snapshots", args=[project.pk]), {"include_simulated": "on"}
    )
    snapshot = project.snapshots.get()
    assertRedirects(page, reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    assert not Job.objects.exists()
