"""Long writes in turns: their size follows the time that each takes."""

import time
from threading import Thread
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from webapp.machine.sqlite.base import LOOKS
from webapp.site import batches
from webapp.site.batches import Batches


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by so much at each look."""

    def goes(seconds):
        ticks = iter(seconds * n for n in range(100))
        monkeypatch.setattr(batches.time, "monotonic", lambda: next(ticks))

    yield goes
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("held", "size"), [(0.0, 200), (batches.HOLD, 100), (10 * batches.HOLD, 10), (1e6, 1)]
)
def test_a_slow_turn_is_followed_by_a_smaller_one(db, clock, held, size):
    clock(held)
    turns = Batches(100)
    with turns.turn():
        assert connection.in_atomic_block
    assert turns.size == size


@pytest.mark.django_db(transaction=True)
def test_a_turn_is_longer_where_others_wait_for_the_same_rows_alone(monkeypatch):
    ticks = iter([0.0, 10.0, 10.0 + batches.HOLD_ROWS, 20.0])  # let in after the second
    clock = SimpleNamespace(monotonic=lambda: next(ticks), sleep=lambda _seconds: None)
    monkeypatch.setattr(batches, "time", clock)
    turns = Batches(1000)
    with turns.turn():
        assert turns.size == 1000
    assert turns.size == (1000 if connection.vendor == "postgresql" else 300)


def test_a_turn_is_never_smaller_than_the_least(db, clock):
    clock(1e6)
    turns = Batches(100, least=40)
    with turns.turn():
        assert turns.size == 100
    assert turns.size == 40


def test_what_breaks_in_a_turn_is_taken_back(project):
    def write():
        with Batches(100).turn():
            type(project).objects.filter(pk=project.pk).update(guidelines="Half.")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write()
    project.refresh_from_db()
    assert project.guidelines == ""


@pytest.mark.django_db(transaction=True)
def test_others_who_write_have_the_database_for_as_long_as_a_turn_had_it(project, monkeypatch):
    gaps = []
    monkeypatch.setattr(time, "sleep", gaps.append)
    turns = Batches(1)
    for _ in range(2):
        with turns.turn():
            time.monotonic()
    written = Thread(target=_write, args=[project])
    written.start()
    written.join()
    for _ in range(2):
        with turns.turn():
            time.monotonic()
    first, alone, _noticed, shared = gaps
    assert first == 0
    waits = connection.vendor == "sqlite"  # elsewhere nobody does
    assert (alone > 0, shared > batches.GAP / 2) == (waits, waits)
    assert alone < batches.GAP / 2


def test_whoever_waits_for_sqlite_looks_at_it_in_every_gap():
    assert LOOKS < batches.ALONE < batches.GAP


def _write(project):
    type(project).objects.filter(pk=project.pk).update(guidelines="New.")
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_what_is_done_between_turns_is_done_while_others_have_the_database(monkeypatch):
    gaps = []
    monkeypatch.setattr(time, "sleep", gaps.append)
    turns = Batches(1)
    with turns.turn():
        later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with turns.turn():
        assert gaps == [0, 0]


@pytest.mark.django_db(transaction=True)
def test_only_the_last_word_waits_for_the_disk(project):
    if connection.vendor != "postgresql":
        return  # SQLite's WAL waits for the disk where it is copied back alone
    _say("SET synchronous_commit = on")  # as it is where a power cut matters
    with Batches(1).turn():
        assert _asked("SHOW synchronous_commit") == "off"
    assert _asked("SHOW synchronous_commit") == "on"
    with transaction.atomic(), Batches(1).turn():
        assert _asked("SHOW synchronous_commit") == "on"  # the larger one is somebody else's
    _say("RESET synchronous_commit")


def test_the_pages_of_who_writes_much_are_kept_until_it_is_done(db):
    if connection.vendor != "sqlite":
        return
    _say("PRAGMA cache_size = -3000")
    with batches.wide_cache():
        assert _asked("PRAGMA cache_size") == -batches.CACHE
    assert _asked("PRAGMA cache_size") == -3000
    _say("PRAGMA cache_size = -2000")


@pytest.mark.django_db(transaction=True)
def test_what_new_rows_name_is_looked_for_by_indexes(project):
    """Else a plan that is made while its table is small reads all of it for each row, for as long as it is kept."""
    if connection.vendor != "postgresql":
        return
    _say("ANALYZE projects_project")
    with Batches(1).turn():
        assert "Index " in _all("EXPLAIN SELECT 1 FROM projects_project WHERE id = 1")
    assert "Seq Scan" in _all("EXPLAIN SELECT 1 FROM projects_project WHERE id = 1")


def _all(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return str(cursor.fetchall())


def _asked(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def _say(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
