"""Who gets which task."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import a_project, a_user, again, some_tasks
from tests.webapp.labeling.acts import overdue, queries_of
from webapp.labeling import queue, services
from webapp.labeling.models import Assignment, Task
from webapp.labeling.queries import waiting_for
from webapp.labeling.restrictions import Restriction
from webapp.machine.database import NEVER_BY_ITSELF, ONCE

STATE = Assignment.State


def test_a_claim_takes_the_first_task_by_priority_then_key(project, ana):
    tasks = some_tasks(project, 3)
    urgent = max(tasks, key=lambda task: task.key)
    Task.objects.filter(pk=urgent.pk).update(priority=1)
    assert queue.claim(project, ana).task == urgent
    services.skip(queue.claim(project, ana))
    assert queue.claim(project, ana).task == tasks[0]


def test_a_claim_answers_the_lease_already_held(project, ana):
    some_tasks(project, 2)
    assert queue.claim(project, ana) == queue.claim(project, ana)


def test_two_people_never_get_one_task_that_needs_one_label(project, ana, ben):
    some_tasks(project, 1)
    assert queue.claim(project, ana)
    assert queue.claim(project, ben) is None


def test_a_task_that_needs_two_labels_shows_each_person_other_sides(project, ana, ben):
    some_tasks(project, 1, need=2)
    hers, his = queue.claim(project, ana), queue.claim(project, ben)
    assert hers.shown == his.shown[::-1]


def test_tasks_of_another_project_are_not_claimed(project, ana):
    some_tasks(a_project())
    assert queue.claim(project, ana) is None


def test_a_page_holds_the_shown_card_longer_than_the_next_ones(project, ana):
    some_tasks(project, 9)
    shown, *ahead = queue.claim_page(project, ana)
    assert len(ahead) == 3
    left = [again(card).lease_until - timezone.now() for card in (shown, *ahead)]
    assert left[0] > timedelta(minutes=9)
    assert all(timedelta(minutes=1) < each <= timedelta(minutes=2) for each in left[1:])


def test_two_tabs_share_one_set_of_leases(project, ana):
    some_tasks(project, 9)
    assert queue.claim_page(project, ana) == queue.claim_page(project, ana)


def test_a_lease_nobody_extended_goes_to_the_next_person(project, ana, ben):
    some_tasks(project, 1)
    lost = overdue(queue.claim(project, ana))
    assert queue.claim(project, ben).task == lost.task
    assert again(lost).state == STATE.EXPIRED


def test_an_expired_task_comes_back_to_the_same_person_with_the_same_sides(project, ana, ben):
    some_tasks(project, 1, need=2)
    first = overdue(queue.claim(project, ana))
    queue.claim(project, ben)
    services.expire_leases()
    again_hers = queue.claim(project, ana)
    assert again_hers.pk == first.pk
    assert again_hers.shown[0] == first.shown[0]


def test_my_own_overdue_lease_is_still_mine_until_somebody_needs_it(project, ana):
    some_tasks(project, 1)
    mine = overdue(queue.claim(project, ana))
    assert queue.claim(project, ana) == mine
    assert again(mine).lease_until > timezone.now()


def test_a_hand_says_which_leases_are_still_held(project, ana, ben):
    some_tasks(project, 2)
    kept, lost = queue.claim_page(project, ana)
    overdue(lost)
    queue.claim(project, ben)
    assert queue.fill_hand(project, ana, shown=kept.pk) == ([kept.pk], [])


def test_only_the_shown_one_is_leased_for_longer(project, ana):
    some_tasks(project, 9)
    _, second, third, _ = queue.claim_page(project, ana)
    queue.fill_hand(project, ana, shown=second.pk)
    now = timezone.now()
    assert again(second).lease_until > now + timedelta(minutes=9)
    assert again(third).lease_until < now + timedelta(minutes=3)


def test_nobody_prolongs_the_lease_of_somebody_else(project, ana, ben):
    some_tasks(project, 1)
    hers = overdue(queue.claim(project, ana))
    assert hers.pk not in queue.fill_hand(project, ben, shown=hers.pk).held
    assert again(hers).lease_until == hers.lease_until


def test_what_is_overdue_is_left_to_tend_while_something_is_open(project, ana, ben):
    some_tasks(project, 2)
    lost = overdue(queue.claim(project, ana))
    assert queue.claim(project, ben).task != lost.task
    assert again(lost).state == STATE.LEASED


def test_expiring_frees_the_places_of_all_projects(project, ana):
    for each in (project, a_project()):
        some_tasks(each, 2)
        for card in queue.claim_page(each, ana):
            overdue(card)
    assert services.expire_leases() == 4
    assert set(Task.objects.values_list("taken", flat=True)) == {0}


def test_a_claim_takes_a_constant_number_of_queries(project, ana, django_assert_num_queries):
    some_tasks(project, 3)
    queue.claim(project, ana)
    Task.objects.update(need=5)
    few = queries_of(lambda: queue.claim(project, ana))
    some_tasks(project, 60)
    with django_assert_num_queries(few):
        queue.claim(project, ana)


def test_the_lowest_free_slot_is_found_whatever_is_there_of_a_task(project, ana, ben):
    (task,) = some_tasks(project, 1, need=4)
    first, second = queue.claim(project, ana), queue.claim(project, ben)
    assert (first.slot, second.slot) == (0, 1)
    services.skip(first)
    assert queue.claim(project, a_user(project)).slot == 0
    assert queue.claim(project, a_user(project)).slot == 2
    overdue(second)
    services.expire_leases()
    assert queue.claim(project, a_user(project)).slot == 1
    assert again(task).taken == 3


@pytest.mark.sqlite  # its plans are read
def test_open_tasks_are_counted_without_their_rows(project):
    some_tasks(project)
    assert (
        "USING COVERING INDEX task_free" in project.tasks.open().order_by().values("pk").explain()
    )


@pytest.mark.sqlite  # it is told which index to take
def test_the_best_task_is_found_among_those_that_are_open(project, ana):
    some_tasks(project, 2)
    with CaptureQueriesContext(connection) as caught:
        queue.claim(project, ana)
    (take,) = [each["sql"] for each in caught if each["sql"].startswith('UPDATE "labeling_task"')]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {take}")
        assert any("INDEX task_free" in str(row) for row in cursor.fetchall())


@pytest.fixture
def planned_for_anybody(db):
    """A connection that keeps plans as a web program's does, and what it has read of a table until now; a shared one keeps none."""
    if connection.vendor == "sqlite":
        yield lambda table: 0
        return
    given = connection.connection
    given.prepare_threshold = NEVER_BY_ITSELF
    with connection.cursor() as cursor:
        # Tests before leave pages of rows that they have taken back, which a plan would count.
        cursor.execute("TRUNCATE labeling_task, labeling_assignment CASCADE")
        for option in ONCE.split()[1::2]:
            cursor.execute(f"SET LOCAL {option}")

        def read(table):
            cursor.execute(
                "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = %s",
                [table],
            )
            return cursor.fetchone()[0]

        yield read
    given.prepare_threshold = None


def test_what_a_person_holds_is_found_without_a_look_at_all_tasks(planned_for_anybody, ana, ben):
    project = a_project()
    theirs = {"annotator": ben, "slot": 0, "state": "submitted", "lease_until": timezone.now()}
    tasks = some_tasks(project, 400)
    Assignment.objects.bulk_create(Assignment(task=task, **theirs) for task in tasks)
    queue.claim_page(project, ana)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    begun = planned_for_anybody("labeling_task")
    queue.PROLONG(ana.pk, project.pk, 0)
    queue.take_reserved(Restriction())(ana.pk, project.pk)
    assert planned_for_anybody("labeling_task") - begun < 50


def test_what_was_planned_when_nobody_had_labelled_reads_little_when_many_have(
    planned_for_anybody, ana, ben
):
    project = a_project()
    tasks = some_tasks(project, 400, need=2)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    queue.claim_page(project, ana)
    waiting_for(project, ana)
    theirs = {"annotator": ben, "slot": 1, "state": "submitted", "lease_until": timezone.now()}
    Assignment.objects.bulk_create(Assignment(task=task, **theirs) for task in tasks)
    begun = planned_for_anybody("labeling_assignment")
    cyd = a_user(project)
    queue.claim_page(project, cyd)
    waiting_for(project, cyd)
    assert planned_for_anybody("labeling_assignment") - begun < 5 * len(tasks)
