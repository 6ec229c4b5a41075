"""People beside the simulated ones: they are waited for while they answer, and nobody else is."""

import pytest

from tests.factories import a_label, a_user, some_tasks
from webapp.accounts.roles import Role
from webapp.demo import newcomers
from webapp.demo.newcomers import labels_of_people, wait_for_people
from webapp.labeling import queue

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def clock(monkeypatch):
    """The time, which passes only where the demo pauses."""
    now = [0.0]
    monkeypatch.setattr(newcomers.time, "monotonic", lambda: now[0])
    return now


def wait(project, clock, act=lambda: None):
    """What was reported to be left, look after look; somebody acts at each."""
    told = []

    def pause(seconds):
        clock[0] += seconds
        act()

    wait_for_people(project, pause, told.append)
    return told


def test_nobody_is_waited_for_who_is_not_there(project, clock):
    some_tasks(project, 3)
    a_user(project, Role.ANNOTATOR, simulated=True)
    assert wait(project, clock) == []


@pytest.mark.twice
def test_who_has_come_gets_time_for_a_first_label(project, clock):
    some_tasks(project, 3)
    a_user(project)
    assert set(wait(project, clock)) == {3}
    assert clock[0] == pytest.approx(newcomers.FIRST, abs=2 * newcomers.LOOK)


def test_who_answers_is_waited_for_to_the_last_task(project, clock):
    tasks = iter(some_tasks(project, 3))
    ana = a_user(project)

    def answer():
        if clock[0] > slow[0]:
            slow[0] += newcomers.NEXT - 1
            a_label(next(tasks), annotator=ana)

    slow = [newcomers.FIRST - 1]
    assert set(wait(project, clock, answer)) == {3, 2, 1}
    assert labels_of_people(project) == 3


def test_who_leaves_with_cards_in_hand_is_not_waited_for_for_ever(project, clock):
    some_tasks(project, 3)
    queue.claim_page(project, a_user(project))
    assert set(wait(project, clock)) == {3}
    assert clock[0] < newcomers.FIRST + 1


def test_simulated_labels_are_nobodys(project):
    (task,) = some_tasks(project)
    a_label(task, annotator=a_user(project, Role.ANNOTATOR, simulated=True))
    assert labels_of_people(project) == 0
