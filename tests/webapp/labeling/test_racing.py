"""Many processes at one queue."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F

from tests.cases import cases
from tests.factories import a_user, some_tasks
from tests.forks import Fork
from webapp.accounts.roles import Role
from webapp.labeling import queue
from webapp.labeling.models import Assignment, Label, Task
from webapp.labeling.services import skip, submit_label

PROCESSES = 4


@pytest.mark.django_db(transaction=True)
@cases("need", [1, 2])
def test_racing_processes_never_serve_a_task_too_often(project, need):
    some_tasks(project, 40, need=need)
    people = [a_user(project, role=Role.ANNOTATOR) for _ in range(PROCESSES)]
    racers = [race(project, person, "skips") for person in people]
    assert [racer.wait() for racer in racers] == [0] * PROCESSES
    answers = Counter(Label.objects.values_list("task", flat=True))
    assert max(answers.values()) <= need
    assert not Assignment.objects.filter(state=Assignment.State.LEASED).exists()
    assert not Task.objects.exclude(taken=F("done")).exists()
    assert Task.objects.filter(done=F("need")).count() >= 35


@pytest.mark.django_db(transaction=True)
def test_two_tabs_of_one_person_never_hold_more_than_a_page(project):
    some_tasks(project, 20)
    person = a_user(project, role=Role.ANNOTATOR)
    racers = [race(project, person, "answers all") for _ in range(2)]
    assert [racer.wait() for racer in racers] == [0, 0]
    assert Assignment.objects.filter(annotator=person).count() == 20
    assert Label.objects.current().count() == Label.objects.filter(counted=True).count()


@pytest.mark.django_db(transaction=True)
def test_who_answers_while_another_answer_is_being_stored_sees_that_they_disagree(project):
    some_tasks(project, 1, need=2)
    first, second = (queue.claim(project, a_user(project, role=Role.ANNOTATOR)) for _ in range(2))

    def answer_otherwise():
        try:
            submit_label(second, client_id=uuid4(), answer={"choice": 7})
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            submit_label(first, client_id=uuid4(), answer={"choice": 0})
            other = pool.submit(answer_otherwise)
            assert not wait(
                [other], timeout=0.5
            ).done  # it waits for the task, or for all of SQLite
        other.result(20)
    assert Label.objects.disagreeing().count() == 2


def race(project, person, way):
    """One of many processes; none takes over our connection."""
    connection.close()
    return Fork(lambda: annotate(project, person, way))


def annotate(project, person, way):
    """Answer, and perhaps skip, until there is nothing left."""
    count = 0
    while cards := queue.claim_page(project, person):
        count += 1
        if count % 7 or way != "skips":
            submit_label(cards[0], client_id=uuid4(), answer={"choice": count % 8})
        else:
            skip(cards[0])
