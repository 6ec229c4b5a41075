"""A database server that takes what it is sent and says nothing: no page waits for it for long."""

import os
import select
import signal
import time
from contextlib import closing, contextmanager

import psycopg
import pytest
from django.db import connection
from django.urls import reverse

from tests.webapp.machine.test_database import parameters, served
from webapp.machine import patience
from webapp.machine.database import is_away
from webapp.machine.patience import ALIVE, ImpatientConnection

__all__ = ["served"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(patience, "ANSWER_WAIT", 1.0)
    monkeypatch.setattr(patience, "SHORT_WAIT", 0.1)
    monkeypatch.setattr(patience._Silence, "until", 0.0)


@contextmanager
def stopped(pid):
    """One process of the server, which sleeps meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_connection_without_an_answer_is_lost(db):
    if connection.vendor == "sqlite":
        return  # it has no server
    found = ImpatientConnection.connect(**parameters())
    assert found.execute("SELECT pg_sleep(0.1), 7").fetchone()[1] == 7
    with stopped(found.info.backend_pid):
        begun = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="has not answered for") as refused:
            found.execute("SELECT 1")
        assert time.monotonic() - begun < 5
    assert (found.closed, is_away(refused.value)) == (True, True)


def test_where_one_has_waited_the_others_are_asked_in_no_time(db):
    if connection.vendor == "sqlite":
        return  # it has no server
    for limit in ("1 s", "0.1 s"):
        found = ImpatientConnection.connect(**parameters())
        with stopped(found.info.backend_pid), pytest.raises(psycopg.OperationalError, match=limit):
            found.execute("SELECT 1")


def test_a_page_is_refused_in_words_and_the_next_are_answered(served):
    if connection.vendor == "sqlite":
        return  # it has no server
    client, project = served
    page = reverse("project", args=[project.pk])
    connection.ensure_connection()
    with stopped(connection.connection.info.backend_pid):
        begun = time.monotonic()
        refused = client.get(page, headers={"Accept": "application/json"})
        assert (refused.status_code, refused.json()["kind"]) == (503, "database_away")
        assert time.monotonic() - begun < 5
        connection.close()
        assert client.get(page).status_code == 200


@pytest.fixture
def pooled(db):
    """Such a connection; on SQLite there is none."""
    if connection.vendor == "sqlite":
        yield None
        return
    with closing(ImpatientConnection.connect(**parameters(), autocommit=True)) as made:
        yield made


@pytest.fixture
def asked(monkeypatch):
    """What the server is asked."""
    statements, execute = [], psycopg.Connection.execute

    def ask(self, query, *rest, **options):
        statements.append(query)
        return execute(self, query, *rest, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", ask)
    return statements


def test_silence_is_enough(pooled, asked):
    if pooled is not None:
        pooled.execute(ALIVE)
        assert asked == []
        assert pooled.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_that_the_server_has_ended_is_known(pooled):
    if pooled is None:
        return
    with closing(psycopg.connect(**parameters(), autocommit=True)) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pooled.info.backend_pid])
    heard = select.poll()
    heard.register(pooled.fileno(), select.POLLIN)
    assert heard.poll(10_000)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            pooled.execute(ALIVE)


def test_what_the_server_only_tells_ends_nothing(pooled, asked):
    if pooled is not None:
        pooled.execute("LISTEN news")
        with closing(psycopg.connect(**parameters(), autocommit=True)) as other:
            other.execute("NOTIFY news")
        heard = select.poll()
        heard.register(pooled.fileno(), select.POLLIN)
        assert heard.poll(10_000)
        pooled.execute(ALIVE)
        assert asked[-1] == ALIVE


def test_a_server_that_is_doubted_is_asked(pooled, asked, monkeypatch):
    if pooled is not None:
        monkeypatch.setattr(patience._Silence, "until", time.monotonic() + 60)
        pooled.execute(ALIVE)
        assert asked == [ALIVE]
