"""A database that is away, or held by another program, is answered with 503 in words; a bug stays a bug."""

import re
import sqlite3
import time
from contextlib import closing, contextmanager
from copy import deepcopy

import psycopg
import pytest
from django.core.signals import request_started
from django.db import DataError, InterfaceError, OperationalError, connection, connections
from django.db.backends.signals import connection_created
from django.test import Client
from django.urls import reverse
from psycopg_pool import PoolTimeout

from tests.factories import a_project, a_user, some_tasks
from webapp.accounts.roles import Role
from webapp.machine import database
from webapp.machine.bodies import CUT, UNKNOWN
from webapp.machine.outages import AWAY, BUSY, answer, outage_of


def caused(kind, cause):
    """As Django raises what a driver says."""
    error = kind(str(cause))
    error.__cause__ = cause
    return error


def of_sqlite(code):
    error = sqlite3.OperationalError(f"code {code}")
    error.sqlite_errorcode = code
    return caused(OperationalError, error)


def of_postgres(state, kind=psycopg.OperationalError):
    return caused(OperationalError, type("Error", (kind,), {"sqlstate": state})("said"))


AWAYS = [
    caused(OperationalError, psycopg.OperationalError("server closed the connection unexpectedly")),
    caused(OperationalError, PoolTimeout("couldn't get a connection after 1.00 sec")),
    caused(InterfaceError, psycopg.InterfaceError("the connection is closed")),
    *(of_postgres(s) for s in ("08006", "57P01", "57P02", "57P03", "53300", "53200", "58030")),
    of_postgres("25006", psycopg.InternalError),
    of_postgres("25P03", psycopg.InternalError),
    of_sqlite(14),
    of_sqlite(10 | 5 << 8),
]
BUSIES = [of_sqlite(5), of_sqlite(6), of_sqlite(5 | 1 << 8)] + [
    of_postgres(state) for state in ("55P03", "40P01", "40001", "57014")
]
BUGS = [
    of_sqlite(1),  # no such table
    of_sqlite(11),  # damaged
    of_postgres("42P01", psycopg.ProgrammingError),
    caused(DataError, psycopg.DataError("PostgreSQL text fields cannot contain NUL bytes")),
    OperationalError("said by nobody's driver"),
    ValueError("a bug"),
]


@pytest.mark.parametrize("error", AWAYS, ids=repr)
def test_what_a_database_that_is_away_says_is_known(error):
    assert outage_of(error) is AWAY


@pytest.mark.parametrize("error", BUSIES, ids=repr)
def test_what_a_held_database_says_is_known(error):
    assert outage_of(error) is BUSY


@pytest.mark.parametrize("error", BUGS, ids=repr)
def test_a_bug_is_no_outage(error):
    assert outage_of(error) is None


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("error", [AWAYS[0], BUSIES[0]], ids=["away", "busy"])
def test_wherever_a_page_meets_it_it_is_503_in_words(client, db, monkeypatch, error, method):
    """Behind the view as before it: middleware, session and template fail alike."""
    client.raise_request_exception = False
    project = a_project()
    client.force_login(a_user(project, Role.ADMIN))
    url = reverse("guidelines" if method == "post" else "project", args=[project.pk])

    def refuse(*_args, **_options):
        raise error

    for place in (
        "webapp.projects.sessions.SessionStore.load",
        "django.contrib.messages.middleware.MessageMiddleware.process_response",
        "webapp.projects.templatetags.navigation.Project.objects.current",
    ):
        with monkeypatch.context() as lacking:
            lacking.setattr(place, refuse)
            response = getattr(client, method)(url)
        assert response.status_code == 503, place
        assert int(response["Retry-After"]) > 0
        assert "Something broke" not in response.content.decode()
        assert ('http-equiv="refresh"' in response.content.decode()) == (method == "get")


def test_what_was_cut_while_nobody_could_say_who_sends_it_is_to_be_sent_again(client, project):
    client.force_login(a_user(project, Role.ADMIN))
    url = reverse("datasets:import", args=[project.pk])
    told = client.post(url, **{CUT: True, UNKNOWN: True})
    assert told.status_code == 503
    assert int(told["Retry-After"]) > 0
    assert "not stored" in told.content.decode()


@pytest.mark.parametrize(
    "asking", [{"HTTP_HX_REQUEST": "true"}, {"HTTP_ACCEPT": "application/json"}]
)
def test_programs_and_scripts_get_the_words_alone(rf, asking):
    said = answer(rf.post("/", **asking), AWAY)  # pytest-django refuses every query of this test
    assert said.status_code == 503
    assert b'"kind": "database_away"' in said.content
    assert b"not stored" in said.content


@contextmanager
def held_by_another():
    """Another program holds what we want to write: all of SQLite, or the table of projects."""
    if connection.vendor == "sqlite":
        place, held = connection.settings_dict["NAME"], "BEGIN IMMEDIATE"
        other = sqlite3.connect(place, isolation_level=None)
    else:
        other = psycopg.connect(**parameters(), autocommit=True)
        held = "BEGIN; LOCK TABLE projects_project IN SHARE MODE"
    with closing(other):
        other.execute(held)
        yield
        other.execute("ROLLBACK")


def parameters():
    """Of a connection of somebody else to this database."""
    found = connection.get_connection_params()
    return {name: found[name] for name in ("dbname", "user", "host", "port")}


@pytest.fixture
def served(transactional_db, monkeypatch):
    """Connections as a web process has them, whose wait for a lock is short; a signed-in client and project."""
    monkeypatch.setattr(database, "LOCK_WAIT", 0.2)
    monkeypatch.setattr(database, "LOOK_WAIT", 0.05)
    monkeypatch.setattr(database._held, "until", 0.0)
    client, project = Client(raise_request_exception=False), a_project()
    client.force_login(a_user(project, Role.ADMIN, is_superuser=True))
    before = deepcopy(connections.settings["default"])
    connection.close()
    database.share_connections()
    yield client, project
    request_started.disconnect(database._wait_by_request)
    connection_created.disconnect(database._wait_as_known)
    connection.close()
    if getattr(connection, "pool", None):
        connection.close_pool()
    connections.settings["default"].clear()
    connections.settings["default"].update(before)


def test_no_page_waits_until_its_statements_are_compiled(served):
    if connection.vendor == "sqlite":  # which compiles none
        return
    with connection.cursor() as cursor:
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)


def test_a_write_waits_a_moment_for_another_program_and_is_refused_in_words(served):
    client, project = served
    with held_by_another():
        begun = time.monotonic()
        assert client.get(reverse("project", args=[project.pk])).status_code == 200
        refused = client.post(reverse("new_project"), {"name": "Another"}, HTTP_HX_REQUEST="true")
        assert time.monotonic() - begun < 3
    assert (refused.status_code, refused.json()["kind"]) == (503, "database_busy")
    assert client.post(reverse("new_project"), {"name": "Another"}).status_code == 302


def test_nobody_waits_long_for_what_is_known_to_be_held(served, monkeypatch):
    """Else all threads would wait, and nobody could even look."""
    monkeypatch.setattr(database, "LOCK_WAIT", 30)
    client, _project = served
    database.note_held()
    connection.close()
    with held_by_another():
        begun = time.monotonic()
        assert client.post(reverse("new_project"), {"name": "Another"}).status_code == 503
        assert time.monotonic() - begun < 5
    monkeypatch.setattr(database._held, "until", 0.0)
    connection.close()
    assert client.post(reverse("new_project"), {"name": "Another"}).status_code == 302


def test_pages_go_on_when_their_connections_were_ended(served):
    """A page in the middle of it is told; the next ones get connections that live."""
    if connection.vendor == "sqlite":
        return  # it has no connections to end
    client, project = served
    page = reverse("project", args=[project.pk])
    assert client.get(page).status_code == 200
    with closing(psycopg.connect(**parameters(), autocommit=True)) as other:
        ends = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
        )
        other.execute(f"{ends} AND datname = current_database()")
    statuses = []
    for _ in range(3):
        statuses.append(client.get(page).status_code)
        connection.close()  # as a server does behind each answer, but not the client of tests
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


def test_threads_share_connections_up_to_a_limit_and_are_told_soon(served):
    if connection.vendor == "sqlite":
        return  # it has no limit
    client, project = served
    connection.ensure_connection()
    connection.close()
    held = [connection.pool.getconn() for _ in range(connection.pool.max_size)]
    begun = time.monotonic()
    refused = client.get(reverse("project", args=[project.pk]))
    assert (refused.status_code, time.monotonic() - begun < 3) == (503, True)
    for each in held:
        connection.pool.putconn(each)
    assert client.get(reverse("project", args=[project.pk])).status_code == 200


def test_who_opens_the_label_page_sees_their_cards_while_another_program_writes(served):
    client, project = served
    some_tasks(project, 6)
    page = reverse("labeling:label", args=[project.pk])
    shown = shown_in(client.get(page))
    assert len(shown) == 4
    with held_by_another():
        assert shown_in(client.get(page)) == shown


def test_who_has_no_card_is_told_to_wait_while_another_program_writes(served):
    if connection.vendor != "sqlite":
        return  # it locks the table of projects alone
    client, project = served
    some_tasks(project, 6)
    with held_by_another():
        begun = time.monotonic()
        told = client.get(reverse("labeling:label", args=[project.pk]))
        assert (told.status_code, time.monotonic() - begun < 1) == (503, True)


def shown_in(response):
    """The cards of a label page."""
    return re.findall(r'data-assignment="(\d+)"', response.content.decode())
