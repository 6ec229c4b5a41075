"""Writers of SQLite take turns within a program."""

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event

import pytest
from django.db import connection

from tests.factories import a_project, a_user, some_tasks
from webapp.labeling.queue import claim
from webapp.site import writers
from webapp.site.writers import in_turn

ON_SQLITE = connection.vendor == "sqlite"


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.skipif(not ON_SQLITE, reason="SQLite: one writer at a time")
def test_the_second_waits_for_the_first_but_not_for_ever(threads, monkeypatch):
    entered, leave = Event(), Event()

    @in_turn
    def first():
        entered.set()
        leave.wait(20)

    held = threads.submit(first)
    assert entered.wait(20)
    second = threads.submit(in_turn(lambda: leave.is_set()))
    leave.set()
    assert second.result(20)
    held.result(20)
    entered.clear()
    leave.clear()
    held = threads.submit(first)
    assert entered.wait(20)
    monkeypatch.setattr(writers, "PATIENCE", 0.01)
    assert not threads.submit(in_turn(lambda: leave.is_set())).result(20)
    leave.set()
    held.result(20)


def test_an_error_ends_a_turn_and_what_is_inside_another_takes_none(db):
    def fail():
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            in_turn(fail)()
    assert in_turn(in_turn(lambda: "done"))() == "done"
    assert not writers._turn.locked()


@pytest.mark.sqlite
def test_who_opens_the_label_page_waits_for_their_turn(transactional_db, threads):
    project = a_project()
    ana = a_user(project)
    some_tasks(project, 2)

    def claimed():
        try:
            return claim(project, ana)
        finally:
            connection.close()

    with writers._turn:
        asked = threads.submit(claimed)
        assert not wait([asked], timeout=0.3).done
    assert asked.result(20)
