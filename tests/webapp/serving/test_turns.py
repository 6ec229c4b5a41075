"""What can wait stands behind nobody's way."""

import threading
from types import SimpleNamespace

import pytest

from webapp.serving.turns import Turns, can_wait


class Asked:
    """A connection on which this is asked; it is answered when it is let go."""

    def __init__(self, command="GET", **headers):
        self.requests = [SimpleNamespace(command=command, headers=headers)]
        self.answered, self.go = threading.Event(), threading.Event()

    def service(self):
        self.go.wait(20)
        self.answered.set()


POLL = {"HX_REQUEST": "true"}


@pytest.fixture
def turns():
    turns = Turns(2)
    yield turns
    turns.shutdown(timeout=5)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (Asked(**POLL), True),
        (Asked("HEAD", **POLL), True),
        (Asked(SEC_FETCH_DEST="empty"), True),
        (Asked("POST", **POLL), False),
        (Asked("POST", SEC_FETCH_DEST="empty"), False),
        (Asked(SEC_FETCH_DEST="document"), False),
        (Asked(), False),
        (SimpleNamespace(requests=[]), False),
        (SimpleNamespace(requests=[object()]), False),
        (SimpleNamespace(), False),
    ],
)
def test_what_a_script_reads_can_wait(asked, waits):
    assert can_wait(asked) is waits


def test_an_answer_stored_never_waits_behind_polls(turns):
    polls, label = [Asked(**POLL) for _ in range(5)], Asked("POST", **POLL)
    for each in (*polls, label):
        turns.add_task(each)
    label.go.set()
    assert label.answered.wait(20)
    assert not any(poll.answered.is_set() for poll in polls)
    for poll in polls:
        poll.go.set()
    assert all(poll.answered.wait(20) for poll in polls)


def test_polls_are_answered_while_people_keep_everybody_busy(turns):
    labels, poll = [Asked("POST") for _ in range(5)], Asked(**POLL)
    for each in (*labels, poll):
        turns.add_task(each)
    poll.go.set()
    assert poll.answered.wait(20)
    for label in labels:
        label.go.set()
    assert all(label.answered.wait(20) for label in labels)  # at the end nothing may be left to do
