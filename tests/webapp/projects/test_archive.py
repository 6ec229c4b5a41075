"""How a project is archived, deleted and brought back, on its page and behind it."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_run, a_sweep, a_user, again, run_at
from webapp.accounts.roles import Role
from webapp.home.archive import GRACE, archive_project, doom_project, restore_project, spare_project
from webapp.jobs.models import Job
from webapp.projects.errors import ProjectError
from webapp.projects.models import Project
from webapp.site.clock import after


@pytest.fixture
def page(project, client):
    client.force_login(a_user(project, Role.ADMIN))
    return lambda **sent: client.post(reverse("upkeep", args=[project.pk]), sent, follow=True)


def test_an_admin_archives_a_project_and_brings_it_back(project, page):
    assertContains(page(act="archive"), "The project is archived")
    assert again(project).archived_at
    assertContains(page(act="restore"), "people can work in it again")
    assert again(project).archived_at is None


def test_a_project_is_deleted_by_its_typed_name_and_can_be_kept(project, page):
    assertContains(page(act="delete", name="something"), "That is not its name")
    assert again(project).delete_after is None
    assertContains(page(act="delete", name=project.name), "It will be deleted after")
    doomed = again(project)
    assert GRACE.total_seconds() - (doomed.delete_after - doomed.archived_at).total_seconds() < 1
    page(act="keep")
    assert (again(project).delete_after, bool(again(project).archived_at)) == (None, True)


def test_an_act_that_there_is_none_of_is_not_found(page):
    assert page(act="burn").status_code == 404


@pytest.mark.parametrize("act", [archive_project, doom_project])
def test_a_project_in_which_something_works_is_left_alone(project, act):
    run = a_run(project)
    with pytest.raises(ProjectError, match="Runs"):
        act(project)
    run_at(run, state="cancelled", ended_at=run.created_at)
    job = Job.objects.create(project=project, kind="export", key="one")
    with pytest.raises(ProjectError, match="export"):
        act(project)
    job.delete()
    act(project)
    assert again(project).archived_at


def test_a_sweep_that_would_start_more_runs_is_waited_for(project):
    a_sweep(project)
    project.runs.update(state="cancelled", ended_at=after(0))
    with pytest.raises(ProjectError, match="sweep"):
        archive_project(project)


@pytest.mark.parametrize("act", [restore_project, spare_project])
def test_what_is_being_removed_is_not_brought_back(project, act):
    Project.objects.filter(pk=project.pk).update(archived_at=after(-2), delete_after=after(-1))
    with pytest.raises(ProjectError, match="too late"):
        act(project)
