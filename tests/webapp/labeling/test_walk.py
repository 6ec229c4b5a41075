"""Whatever people do, in whatever order, no task is lost and none is answered too often."""

from uuid import uuid4

import pytest
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.factories import a_user, some_tasks
from tests.webapp.labeling.acts import a_while_later, overdue
from webapp.labeling import cursors, dispatch, queue
from webapp.labeling.models import Assignment, Label, Task
from webapp.labeling.services import LabelingError, expire_leases, skip, submit_label, undo

STATE = Assignment.State
PEOPLE = 3
MOST = 6  # tasks


def claims(project, person, number):
    queue.claim_page(project, person, count=1 + number)


def submits(project, person, number):
    if card := any_of(person, number):
        submit_label(card, client_id=uuid4(), answer={"choice": number})


def repeats(project, person, number):
    if label := Label.objects.filter(annotator=person).order_by("pk").last():
        submit_label(label.assignment, client_id=label.client_id, answer={"choice": number})


def skips(project, person, number):
    card = any_of(person, number)
    if card and card.state == STATE.SUBMITTED:
        with pytest.raises(LabelingError):
            skip(card)
    elif card:
        skip(card, skip_id=uuid4())


def undoes(project, person, number):
    if label := Label.objects.filter(annotator=person).order_by("pk").last():
        undo(person, label.client_id)


def undoes_a_skip(project, person, number):
    if skipped := person.assignments.filter(skip_id__isnull=False).order_by("skip_order").last():
        undo(person, skipped.skip_id)


def falls_silent(project, person, number):
    for card in Assignment.objects.held_by(person):
        overdue(card)


def is_expired(project, person, number):
    expire_leases()


def is_led_on(project, person, number):
    cursors.move_cursor(project, person)


def comes_back_later(project, person, number):
    a_while_later(cursors.SLOWEST + 5)
    cursors.move_cursor(project, person)


def is_asked_again(project, person, number):
    dispatch.ask_again(project, list(project.tasks.values_list("pk", flat=True)))


def is_wanted_by_more(project, person, number):
    task = project.tasks.order_by("pk")[number % project.tasks.count()]
    dispatch.ask_more(project, [task.pk], 2 + number % 2)


def is_given_a_place(project, person, number):
    task = project.tasks.order_by("pk")[number % project.tasks.count()]
    dispatch.ask_person(project, [task.pk], person)


def is_joined_by_more(project, person, number):
    if project.tasks.count() < MOST:
        some_tasks(project)


def is_asked_as_a_third(project, person, number):
    project.third_if_two_differ = True
    project.save()


def any_of(person, number):
    """One of the person's assignments, in whatever state, also a long lost one."""
    cards = list(person.assignments.order_by("pk"))
    return cards[number % len(cards)] if cards else None


ACTS = [claims, submits, submits, repeats, skips, undoes, undoes_a_skip, falls_silent, is_expired]
LED = [is_led_on, comes_back_later, comes_back_later]
DISPATCHED = [
    is_asked_again,
    is_wanted_by_more,
    is_given_a_place,
    is_joined_by_more,
    is_asked_as_a_third,
]


def steps_of(acts):
    step = some.tuples(some.sampled_from(acts), some.integers(0, PEOPLE - 1), some.integers(0, 7))
    return some.lists(step, min_size=10, max_size=40)


def walks(acts, examples):
    """So many walks of these acts."""

    def given_walks(test):
        quiet = [HealthCheck.function_scoped_fixture]
        limits = settings(max_examples=examples, deadline=None, suppress_health_check=quiet)
        return limits(given(steps=steps_of(acts))(test))

    return given_walks


@walks(ACTS, 3)
def test_a_walk_keeps_the_counts_and_leaves_every_task_finishable(project, steps):
    walk(project, 2, steps)


@pytest.mark.slow
@pytest.mark.parametrize("need", [1, 2])
@walks(ACTS, 15)
def test_any_walk_keeps_the_counts_and_leaves_every_task_finishable(project, need, steps):
    walk(project, need, steps)


def walk(project, need, steps):
    """Take these steps, count after each, and answer what is left; all is taken back."""
    with transaction.atomic():
        some_tasks(project, 3, need=need)
        people = [a_user(project) for _ in range(PEOPLE)]
        for act, person, number in steps:
            act(project, people[person], number)
            check_counts()
        finish(project, need)
        transaction.set_rollback(True)


@walks([*ACTS, *LED, *DISPATCHED], 2)
def test_what_opens_is_offered_to_all_for_whom_it_is_open(project, steps):
    look_at_offers(project, steps)


@pytest.mark.slow
@walks([*ACTS, *LED, *DISPATCHED], 10)
def test_whatever_opens_is_offered_to_all_for_whom_it_is_open(project, steps):
    look_at_offers(project, steps)


def look_at_offers(project, steps):
    """Take these steps, and look at what is offered after each; all is taken back."""
    with transaction.atomic():
        some_tasks(project, 3, need=2)
        people = [a_user(project) for _ in range(PEOPLE)]
        for act, person, number in steps:
            act(project, people[person], number)
            check_offers(project, people)
        transaction.set_rollback(True)


def check_offers(project, people):
    for person in people:
        ahead, behind, open_ = (
            set(find(project, person).values_list("pk", flat=True))
            for find in (Task.every.ahead_of, Task.every.opened_behind, Task.every.open_for)
        )
        assert (ahead | behind, ahead & behind) == (open_, set())


def check_counts():
    leased = Count("assignments", filter=Q(assignments__state=STATE.LEASED), distinct=True)
    counted = Count("labels", filter=Q(labels__counted=True), distinct=True)
    skipped = Count("assignments", filter=Q(assignments__state=STATE.SKIPPED), distinct=True)
    for task in Task.objects.annotate(leased=leased, counted=counted, skipped=skipped):
        assert task.done == task.counted
        assert task.skips == task.skipped
        assert task.taken == task.leased + task.counted <= task.need
    current = Label.objects.current()
    others = current.filter(task=OuterRef("task")).exclude(verdict=OuterRef("verdict"))
    assert set(Label.objects.disagreeing()) == set(current.filter(Exists(others)))


def finish(project, need):
    """Everybody leaves; as many new people as a task needs come and answer what is open."""
    for card in Assignment.objects.filter(state=STATE.LEASED):
        overdue(card)
    expire_leases()
    for _ in range(need):
        person = a_user(project)
        while card := queue.claim(project, person):
            assert submit_label(card, client_id=uuid4(), answer={"choice": 2}).counted
    left = [task for task in Task.objects.exclude(done=F("need")) if not task.held_back]
    assert left == []
