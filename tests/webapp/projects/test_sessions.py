"""Who is signed in, and as what in the project of an address, by one query."""

from datetime import timedelta

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as OldStore
from django.contrib.sessions.models import Session as OldSession
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse
from django.utils import timezone

from tests.factories import a_project, a_user
from tests.webapp.labeling.acts import queries_of
from webapp.accounts.models import Session, User
from webapp.accounts.roles import Role
from webapp.projects.access import Action, project_for
from webapp.projects.sessions import SessionStore


@pytest.fixture
def ana(project, client):
    person = a_user(project, Role.ANNOTATOR, username="ana", label_keys={"off": True})
    client.force_login(person)
    return person


@pytest.fixture
def page(project):
    return reverse("labeling:label", args=[project.pk])


@pytest.fixture
def store(client, project):
    """The session of the browser, as a page of the project finds it."""
    store = SessionStore(client.session.session_key)
    store.project_id = project.pk
    return store


def test_session_person_membership_and_project_are_one_query(
    ana, project, store, django_assert_num_queries
):
    with django_assert_num_queries(1):
        assert store[SESSION_KEY] == str(ana.pk)
        person = store.person
        assert project_for(person, project.pk, can=Action.LABEL) == project


def test_another_project_is_asked_for(ana, store):
    store.load()
    other = a_project()
    assert other.memberships.create(user=ana, role=Role.ADMIN)
    assert project_for(store.person, other.pk, can=Action.EDIT_GUIDELINES) == other


def test_of_a_project_that_is_not_theirs_nothing_is_found(ana, client, project, page):
    project.memberships.all().delete()
    assert client.get(page).status_code == 404


def test_what_is_no_number_of_a_project_is_not_looked_for(ana, client):
    """An address of the API takes any text there, which PostgreSQL would not compare with numbers."""
    assert client.get("/api/v1/projects/{}/rounds").status_code == 401


def test_a_superuser_is_admin_without_a_membership(client, project):
    client.force_login(User.objects.create_superuser("root"))
    assert client.get(reverse("members", args=[project.pk])).status_code == 200


@pytest.mark.parametrize(
    "change",
    [{"is_active": False}, {"password": "!another"}, {"sessions_ended": 1}],
    ids=lambda change: next(iter(change)),
)
def test_what_ends_a_session_is_seen_at_once(ana, client, page, change):
    assert client.get(page).status_code == 200
    User.objects.filter(pk=ana.pk).update(**change)
    assert client.get(page).status_code == 302


def test_a_session_that_is_over_or_unknown_is_nobodys(ana, client, page):
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert client.get(page).status_code == 302
    Session.objects.all().delete()
    assert client.get(page).status_code == 302


def test_a_row_that_names_another_than_its_sealed_data_signs_nobody_else_in(ana, client, page):
    ben = a_user(username="ben")
    Session.objects.update(person=ben)
    assert client.get(page).wsgi_request.user == ana


def test_a_way_to_sign_in_that_is_no_more_ends_its_sessions(ana, client, page):
    session = client.session
    session[BACKEND_SESSION_KEY] = "gone.Backend"
    session.save()
    assert client.get(page).status_code == 302


def test_sessions_go_with_their_person_and_when_they_are_over(ana, client):
    a_user(username="ben")
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    client.force_login(User.objects.get(username="ben"))
    call_command("clearsessions")
    assert [one.person.username for one in Session.objects.all()] == ["ben"]
    User.objects.get(username="ben").delete()
    assert not Session.objects.exists()


def test_pages_of_no_project_read_session_and_person_together(ana, client):
    assert queries_of(lambda: client.get(reverse("accounts:raw_view"))) <= 1


@pytest.fixture
def before(transactional_db):
    """The models of the version in which sessions were Django's own; then the database is as it was."""
    here = MigrationExecutor(connection).loader.graph.leaf_nodes()
    there = [("accounts", "0004_raw_view")]
    MigrationExecutor(connection).migrate(there)
    yield MigrationExecutor(connection).loader.project_state(there).apps
    MigrationExecutor(connection).migrate(here)


def test_sessions_of_before_are_carried_over(before):
    person = before.get_model("accounts", "User").objects.create(username="ana")
    old = OldStore()
    old[SESSION_KEY] = str(person.pk)
    old.create()
    OldStore().create()
    MigrationExecutor(connection).migrate([("accounts", "0005_sessions")])
    (kept,) = Session.objects.all()
    assert (kept.session_key, kept.person_id) == (old.session_key, person.pk)
    assert kept.session_data == OldSession.objects.get(pk=old.session_key).session_data
