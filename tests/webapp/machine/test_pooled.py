"""A pooled connection knows by its socket alone that the server is still there, and that it is not."""

import select
from contextlib import closing

import psycopg
import pytest
from django.db import connection

from tests.webapp.machine.test_database import parameters
from webapp.machine.pooled import ALIVE, PooledConnection


@pytest.fixture
def pooled(db):
    """Such a connection; on SQLite there is none."""
    if connection.vendor == "sqlite":
        yield None
        return
    with closing(PooledConnection.connect(**parameters(), autocommit=True)) as made:
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
