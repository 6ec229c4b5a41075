"""The page of the installation."""

from importlib import metadata

import pytest
from django.core.cache import cache
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_user, a_worker, again, an_artifact
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.home.installation import installation
from webapp.jobs.execution import claim
from webapp.jobs.models import Job, State
from webapp.queue.bell import _silence
from webapp.site.clock import after

pytestmark = pytest.mark.once

HTMX = {"HX-Request": "true"}


@pytest.fixture
def root(db, client):
    root = User.objects.create_superuser("root")
    client.force_login(root)
    return root


@pytest.fixture
def failed(project):
    columns = {
        "kind": "import",
        "state": State.FAILED,
        "message": "The file is odd.",
        "attempts": 3,
    }
    return Job.objects.create(project=project, key="one", ended_at=after(0), **columns)


def test_it_shows_workers_versions_jobs_and_room(root, client, failed):
    worker = a_worker(hardware={"cores": 6, "memory_gib": 20, "gpus": [{"name": "Toy GPU"}]})
    page = client.get(reverse("installation"))
    for words in (worker.name, "6 cores, 20 GiB, Toy GPU", "The file is odd.", "Free"):
        assertContains(page, words)
    assertContains(page, metadata.version("torch"))


def test_the_fragment_that_asks_again_is_without_the_frame(
    root, client, django_assert_max_num_queries
):
    with django_assert_max_num_queries(18):
        page = client.get(reverse("installation"), headers=HTMX)
    assertContains(page, 'hx-trigger="every 10s"')
    assertNotContains(page, "<html")


@pytest.mark.twice
def test_equal_folders_are_counted_once(project, tmp_path):
    one = an_artifact(project, tmp_path)
    stored = {size.what: size.bytes for size in installation().sizes}
    columns = {"type": one.type, "manifest_sha256": one.manifest_sha256, "bytes": one.bytes}
    Artifact.objects.create(project=project, name="same", **columns)
    assert {size.what: size.bytes for size in installation().sizes}["Artifacts"] == stored[
        "Artifacts"
    ]
    assert stored["Artifacts"] == one.bytes


def test_a_broker_that_was_away_is_named(root, client):
    cache.set(_silence("runs"), value=True, timeout=None)
    assertContains(client.get(reverse("installation")), "The broker was away")


@pytest.mark.twice
def test_sessions_and_their_people_are_counted(root, client):
    client.session.save()
    now = installation()
    assert (now.sessions, now.people) == (1, 1)


def test_a_failed_job_is_tried_again_under_a_new_fence(root, client, failed):
    url = reverse("try_job_again", args=[failed.pk])
    assertContains(client.post(url, follow=True), "The job is tried again")
    queued = again(failed)
    assert (queued.state, queued.message, queued.ended_at) == (State.QUEUED, "", None)
    assert claim(failed.pk).attempts == 4
    assertContains(client.post(url, follow=True), "Only a job that failed")


def test_nobody_else_finds_it(project, client, failed):
    client.force_login(a_user(project, Role.ADMIN))
    assert client.get(reverse("installation")).status_code == 404
    assert client.post(reverse("try_job_again", args=[failed.pk])).status_code == 404
