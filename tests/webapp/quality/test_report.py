"""The page of quality, the job that fills it, and the command."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_label, a_project, a_user, some_tasks
from webapp.accounts.roles import Role
from webapp.jobs import execution
from webapp.jobs.models import Job, State
from webapp.quality.jobs import measure_now
from webapp.quality.models import QualityReport
from webapp.quality.services import start_measuring

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def url(project):
    return reverse("quality:report", args=[project.pk])


@pytest.fixture
def answered(project, ana, ben):
    """Two tasks: about one of them two people disagree; a third person is simulated."""
    people = [ana, ben]
    robot = a_user(project, Role.ANNOTATOR, username="robot", simulated=True)
    one, other = some_tasks(project, 2, need=3, texts=("Short.", "Much longer."))
    for person in people:
        a_label(one, 1, annotator=person)  # they see other sides
    a_label(other, 1, annotator=people[0], visible_ms=10)
    a_label(other, 7, annotator=people[1], visible_ms=90_000)
    a_label(other, 7, annotator=robot)
    return people


def test_annotators_do_not_see_it(project, client, url):
    client.force_login(a_user(project, Role.ANNOTATOR))
    assert client.get(url).status_code == client.post(url).status_code == 404


def test_without_labels_there_is_nothing_to_measure(rita, url):
    assertContains(rita.get(url), "No labels yet")


def test_before_it_was_measured_the_page_offers_that(rita, url, answered):
    assertContains(rita.get(url), "Nothing was measured yet")


def test_the_button_measures_and_the_page_shows_figures(rita, url, project, answered):
    job = Job.objects.get(pk=rita.post(url).url.rstrip("/").rpartition("/")[2])
    execution.execute(execution.claim(job.pk))
    assert Job.objects.get(pk=job.pk).state == State.DONE
    assertContains(rita.get(reverse("jobs:detail", args=[project.pk, job.pk])), "See the figures")
    page = rita.get(url)
    assertContains(page, "50 %")  # of two pairs of labels one agrees
    assertContains(page, "robot")
    assertContains(page, "Simulated annotators")
    assertContains(page, "0 labels have come since")


def test_labels_that_came_since_are_told(rita, url, project, answered):
    measure_now(project)
    a_label(some_tasks(project)[0])
    assertContains(rita.get(url), "1 labels have come since")


def test_a_second_press_finds_the_measuring_that_goes_on(project, rita, url):
    first = start_measuring(project)
    assertRedirects(rita.post(url), reverse("jobs:detail", args=[project.pk, first.pk]))
    execution.execute(execution.claim(first.pk))
    assert start_measuring(project).pk != first.pk


@pytest.mark.twice
def test_who_has_no_account_any_more_is_not_listed(rita, url, project, answered):
    measure_now(project)
    report = QualityReport.objects.get(project=project)
    report.figures["people"][0]["annotator"] = 10**9
    report.save()
    assertNotContains(rita.get(url), "None")


def test_many_people_are_listed_page_by_page(
    rita, url, project, answered, django_assert_num_queries
):
    measure_now(project)
    report = QualityReport.objects.get(project=project)
    report.figures["people"] *= 40
    report.save()
    assertContains(rita.get(url), "after=50")


def test_the_command_measures_and_prints(project, answered):
    call_command("quality", project.name, stdout=(told := StringIO()))
    assert "50 %" in told.getvalue()
    assert "ana: 2 labels" in told.getvalue()
    call_command("quality", str(project.pk), json=True, stdout=(told := StringIO()))
    assert json.loads(told.getvalue()) == QualityReport.objects.get(project=project).figures


def test_the_command_knows_no_project_of_another_name():
    a_project(name="Known")
    with pytest.raises(CommandError, match="no project"):
        call_command("quality", "Unknown")
