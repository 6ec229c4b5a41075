"""Who is told how a run gets on, and that a run does not hang on them."""

import pytest
from django.db import OperationalError

from tests.factories import a_run, a_worker, again
from webapp.runs import execution, followers, tasks
from webapp.runs.followers import followers_of, tell_followers
from webapp.runs.models import State
from webapp.runs.points import LAST

told = []


@pytest.fixture(autouse=True)
def forget():
    told.clear()


def follow(run):
    """Whatever is told of a run."""
    return told.append if run.kind == "pretrain" else None


def failing(step):
    raise RuntimeError("a fault of mine")


def away(step):
    raise OperationalError("the database is away")


@pytest.fixture
def followed(monkeypatch):
    monkeypatch.setattr(followers, "FOLLOWERS", (f"{__name__}.follow",))


def test_only_who_wants_to_be_is_told(project, followed):
    assert followers_of(a_run(project)) == [told.append]
    assert followers_of(a_run(project, "import")) == []


@pytest.mark.once
def test_a_fault_of_one_keeps_no_other_from_being_told(caplog, db):
    tell_followers([failing, away, told.append], 7)
    assert told == [7]
    assert "a fault of mine" in caplog.text
    assert "the database is away" in caplog.text


@pytest.mark.once
def test_a_worker_tells_of_steps_and_of_the_end(project, followed, stand_in, monkeypatch):
    run = a_run(project)
    monkeypatch.setattr(tasks.workers, "register", lambda queue: a_worker(queue=queue))
    tasks.ring(run.queue)
    assert again(run).state == State.SUCCEEDED
    assert told[-1] == LAST
    assert told[:-1]
    assert told[-2] == 10  # the stand-in's last step


@pytest.mark.once
def test_a_faulty_follower_does_not_fail_the_run(project, stand_in):
    run = a_run(project)
    claimed = execution.claim(run.queue, a_worker())
    execution.execute(claimed, [failing])
    assert again(run).state == State.SUCCEEDED
