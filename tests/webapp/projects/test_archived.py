"""An archived project is looked at and taken along; nothing of it changes, and nothing runs."""

import pytest
from django.db.models.functions import Now
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_project, a_run, a_user, again, some_tasks
from tests.webapp.api.programs import Program
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.api.scopes import Scope
from webapp.api.tokens import make_token
from webapp.labeling.models import Assignment
from webapp.projects.models import Project
from webapp.runs.errors import RunError

pytestmark = pytest.mark.once

JSON = {"Accept": "application/json"}


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN)


@pytest.fixture
def archived(project):
    Project.objects.filter(pk=project.pk).update(archived_at=Now())
    return again(project)


@pytest.mark.twice
def test_its_pages_are_seen_and_say_so(archived, admin, client):
    client.force_login(admin)
    for name in ("project", "prompts", "labeling:labels", "runs:list", "members"):
        assertContains(client.get(reverse(name, args=[archived.pk])), "This project is archived")


def test_what_would_change_it_is_refused_in_words(archived, admin, client):
    client.force_login(admin)
    page = client.post(reverse("prompts", args=[archived.pk]), {"text": "Why?"})
    assertContains(page, "nothing of it changes", status_code=409)
    assert not archived.prompts.exists()


def test_nobody_is_handed_a_task_of_it(archived, admin, client):
    some_tasks(archived, 2)
    client.force_login(admin)
    url = reverse("labeling:label", args=[archived.pk])
    assert client.get(url).status_code == 409
    assert client.post(url, headers=JSON).json()["kind"] == "refused"
    assert not Assignment.objects.exists()


def test_a_superuser_changes_nothing_either_and_a_stranger_learns_nothing(archived, client):
    url = reverse("prompts", args=[archived.pk])
    client.force_login(User.objects.create_superuser("root"))
    assert client.post(url, {"text": "Why?"}).status_code == 409
    client.force_login(a_user(a_project(), Role.ADMIN))
    assert client.post(url, {"text": "Why?"}).status_code == 404


def test_its_data_may_still_be_exported(archived, admin, client):
    client.force_login(admin)
    assert client.post(reverse("datasets:export", args=[archived.pk])).status_code == 200


def test_a_program_looks_and_changes_nothing(archived, admin):
    program = Program(make_token(admin, name="all", scopes=list(Scope)))
    at = f"/projects/{archived.pk}/prompts"
    assert program.get(at).status_code == 200
    answer = program.post(at, {"prompts": [{"messages": [{"role": "user", "content": "Why?"}]}]})
    assert (answer.status_code, answer.json()["kind"]) == (409, "refused")


def test_no_run_starts_in_it(archived):
    with pytest.raises(RunError, match="archived"):
        a_run(archived)


def test_lists_leave_it_out_and_a_page_of_their_own_has_it(archived, admin, client):
    for _ in range(2):
        a_project().memberships.create(user=admin, role=Role.ADMIN)
    client.force_login(admin)
    page = client.get(reverse("home"))
    assertNotContains(page, f'<h2><a href="{reverse("project", args=[archived.pk])}"')
    assertContains(page, "Archived projects")
    assertContains(client.get(reverse("archived")), archived.name)
