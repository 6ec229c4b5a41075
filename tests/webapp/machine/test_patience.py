"""A database server that takes what it is sent and says nothing: no page waits for it for long."""

import os
import signal
import time
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection
from django.urls import reverse

from tests.webapp.machine.test_database import parameters, served
from webapp.machine import patience
from webapp.machine.database import is_away
from webapp.machine.patience import ImpatientConnection

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
