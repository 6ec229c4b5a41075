"""SQLite for many writers: whoever waits gets its turn, or hears that there is none in time."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from webapp.settings import SQLITE_OPTIONS
from webapp.variables import in_file

pytestmark = pytest.mark.django_db  # for connections of their own
PATIENCE = 0.5  # seconds


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "rows.sqlite3"
    with closing(sqlite3.connect(place)) as made:
        made.execute("PRAGMA journal_mode = WAL")
    return place


@pytest.fixture
def connection(place):
    """A connection of ours to the file."""
    options = SQLITE_OPTIONS | {"timeout": PATIENCE}
    made = ConnectionHandler({"default": in_file(place) | {"OPTIONS": options}})["default"]
    yield made
    made.close()


def begun(connection):
    """Seconds until a transaction has begun; it is over again."""
    start = time.monotonic()
    connection.ensure_connection()
    connection._start_transaction_under_autocommit()
    connection.connection.execute("ROLLBACK")
    return time.monotonic() - start


def test_who_waits_finds_a_lock_sooner_that_is_seldom_free_than_sqlite_itself(connection, place):
    stop, held = threading.Event(), threading.Event()

    def take_it_again_and_again():
        with closing(sqlite3.connect(place, isolation_level=None)) as other:
            while not stop.is_set():
                other.execute("BEGIN IMMEDIATE")
                held.set()
                stop.wait(0.01)
                held.clear()
                other.execute("ROLLBACK")
                stop.wait(0.0015)  # which a look every 100 ms nearly always misses

    other = threading.Thread(target=take_it_again_and_again)
    other.start()
    try:
        waited = []
        for _ in range(10):
            held.wait()
            ours = begun(connection)
            held.wait()
            waited.append((ours, begun_by_sqlite(place)))
    finally:
        stop.set()
        other.join()
    ours, theirs = map(sum, zip(*waited, strict=True))
    assert ours < theirs / 2


def begun_by_sqlite(place):
    """The same without us."""
    with closing(sqlite3.connect(place, isolation_level=None, timeout=20)) as plain:
        start = time.monotonic()
        plain.execute("BEGIN IMMEDIATE")
        plain.execute("ROLLBACK")
        return time.monotonic() - start


def test_a_lock_that_is_never_free_is_waited_for_as_long_as_the_connection_says(connection, place):
    with closing(sqlite3.connect(place, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        with pytest.raises(OperationalError, match="locked"):
            begun(connection)
        assert PATIENCE <= time.monotonic() - start < 2 * PATIENCE
        connection.connection.execute("PRAGMA busy_timeout = 0")
        start = time.monotonic()
        with pytest.raises(OperationalError, match="locked"):
            begun(connection)
        assert time.monotonic() - start < PATIENCE
    assert begun(connection) < PATIENCE


def test_what_a_connection_waits_is_as_it_was(connection):
    begun(connection)
    ((patience,),) = connection.connection.execute("PRAGMA busy_timeout")
    assert patience == 1000 * PATIENCE
