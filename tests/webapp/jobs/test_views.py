"""The page of a job."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_project, a_user, again
from webapp.accounts.roles import Role
from webapp.jobs.execution import claim
from webapp.jobs.models import Job, State
from webapp.jobs.tasks import work

pytestmark = pytest.mark.once

HTMX = {"HX-Request": "true"}


@pytest.fixture
def url(job):
    return reverse("jobs:detail", args=[job.project_id, job.pk])


def test_a_queued_job_asks_again_and_can_be_cancelled(inside, job, url):
    assertContains(inside.get(url), 'hx-trigger="every 1s"')
    response = inside.post(reverse("jobs:cancel", args=[job.project_id, job.pk]))
    assertRedirects(response, url)
    assert again(job).state == State.CANCELLED
    assertNotContains(inside.get(url), "hx-trigger")


def test_the_fragment_shows_how_far_it_is(inside, job, url):
    Job.objects.renew(claim(job.pk), progress=3, total=9)
    response = inside.get(url, headers=HTMX)
    assertContains(response, '<progress max="9" value="3"')
    assertNotContains(response, "<html")


def test_a_job_that_is_over_brings_the_whole_page(inside, job, url):
    assert "HX-Refresh" not in inside.get(url, headers=HTMX)
    work(job.pk)
    assert inside.get(url, headers=HTMX)["HX-Refresh"] == "true"


@pytest.mark.twice
def test_a_failed_job_says_why_and_where_to_go_on(inside, job, url):
    Job.objects.filter(pk=job.pk).update(state=State.FAILED, message="Mend <line> 3.")
    response = inside.get(url)
    assertContains(response, "Mend &lt;line&gt; 3.")
    assertContains(response, "Try again")


def test_what_is_over_cannot_be_cancelled(inside, job):
    work(job.pk)
    address = reverse("jobs:cancel", args=[job.project_id, job.pk])
    assertContains(inside.post(address, follow=True), "nothing to cancel")


@pytest.mark.parametrize("name", ["detail", "cancel", "download"])
def test_only_admins_of_its_project_see_a_job(client, project, job, name):
    elsewhere = a_project()
    for person in (a_user(project, Role.RESEARCHER), a_user(elsewhere, Role.ADMIN)):
        client.force_login(person)
        ask = client.post if name == "cancel" else client.get
        assert ask(reverse(f"jobs:{name}", args=[project.pk, job.pk])).status_code == 404
    borrowed = reverse(f"jobs:{name}", args=[elsewhere.pk, job.pk])
    assert ask(borrowed).status_code == 404


def test_a_job_without_a_file_offers_none(inside, job):
    work(job.pk)
    address = reverse("jobs:download", args=[job.project_id, job.pk])
    assert inside.get(address).status_code == 404
