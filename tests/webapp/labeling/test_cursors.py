"""No claim walks over what somebody has done, and nothing that opens behind them is lost."""

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import a_project, a_user, again, some_tasks
from tests.webapp.labeling.acts import a_while_later, overdue, queries_of
from webapp.labeling import cursors, dispatch, queue
from webapp.labeling.models import Cursor, Task
from webapp.labeling.queries import open_for
from webapp.labeling.services import expire_leases, skip, submit_label, undo
from webapp.labeling.written import leave_out
from webapp.site.clock import after

NUMBER = cursors.FAR + 5


@pytest.fixture
def led(project, ana):
    """Tasks for two each; those before the last three are behind ana, who has seen the others."""
    tasks = some_tasks(project, NUMBER + 3, need=2)
    for task in tasks[:NUMBER]:
        leave_out(task, ana.pk)
    a_while_later(2 * cursors.SLOWEST)
    cursors.move_cursor(project, ana)
    return tasks


def answered(project, person):
    """The task of the next card, which is answered."""
    card = queue.claim(project, person)
    submit_label(card, client_id=uuid4(), answer={"choice": 1})
    return card.task


def place(project, person):
    return Cursor.objects.of(project, person).values_list("priority", "key").get()


def before(task):
    return (task.priority, task.key - 1)


def test_the_cursor_follows_a_claim_that_has_walked_far(project, ana):
    tasks = some_tasks(project, NUMBER, need=2)
    assert [answered(project, ana) for _ in range(cursors.FAR)] == tasks[: cursors.FAR]
    assert not Cursor.objects.exists()
    assert answered(project, ana) == tasks[cursors.FAR]
    assert place(project, ana) == before(tasks[cursors.FAR])
    assert [answered(project, ana) for _ in range(4)] == tasks[cursors.FAR + 1 :]


@pytest.mark.sqlite  # its plans are read
def test_a_claim_begins_behind_what_was_done(project, ana, led):
    with CaptureQueriesContext(connection) as caught:
        assert queue.claim(project, ana).task == led[NUMBER]
    (take,) = [each["sql"] for each in caught if each["sql"].startswith('UPDATE "labeling_task"')]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {take}")
        plan = " ".join(str(row) for row in cursor.fetchall())
    assert "task_free (project_id=? AND (priority,key)>(?,?))" in plan
    assert "task_opened (project_id=? AND opened_at>?)" in plan


def test_a_place_that_is_given_back_behind_somebody_comes_first(project, ana, ben, led):
    Task.every.filter(pk=led[0].pk).update(need=1)
    ana.assignments.filter(task=led[0]).delete()
    lost = queue.claim(project, ben)
    assert (lost.task, answered(project, ana)) == (led[0], led[NUMBER])
    overdue(lost)
    expire_leases()
    assert answered(project, ana) == led[0]
    assert answered(project, ana) == led[NUMBER + 1]


def test_what_opens_in_a_transaction_that_others_see_later_is_not_passed(project, ana, led):
    cursors.move_cursor(project, ana)
    ana.assignments.filter(task=led[3]).delete()
    Task.every.filter(pk=led[3].pk).update(opened_at=after(5 - cursors.SLOWEST))
    assert queue.claim(project, ana).task == led[3]


def test_whoever_opens_a_task_says_so(project, ana, ben):
    (task,) = some_tasks(project)
    mine, skip_id = queue.claim(project, ana), uuid4()
    opening = (
        lambda: skip(mine, skip_id=skip_id),
        lambda: undo(ana, skip_id),
        lambda: (overdue(mine), expire_leases()),
        lambda: skip(queue.claim(project, ben)),
        lambda: dispatch.ask_again(project, [task.pk]),
        lambda: dispatch.ask_more(project, [task.pk], 2),
    )
    for act in opening:
        Task.every.update(opened_at=None)
        act()
        assert again(task).opened_at


def test_what_opened_and_was_not_taken_yet_stays_before_what_is_ahead(project, ana, led):
    for task in led[2:5]:
        ana.assignments.filter(task=task).delete()
        Task.every.filter(pk=task.pk).let_open()
    for task in led[2:5]:
        a_while_later(2 * cursors.SLOWEST)
        cursors.move_cursor(project, ana)
        assert answered(project, ana) == task
    assert answered(project, ana) == led[NUMBER]


@pytest.mark.parametrize("few", [0, 9], ids=["many", "few"])
def test_new_tasks_are_found_wherever_they_stand(project, ana, led, few, monkeypatch):
    monkeypatch.setattr(cursors, "FEW", few)
    other = a_project()
    Cursor.objects.create(
        project=other, annotator=ana, **Cursor.objects.values("priority", "key", "seen").get()
    )
    skipped = [skip(queue.claim(project, ana)) for _ in range(3)]
    assert queue.claim(project, ana) is None
    new = some_tasks(project, len(skipped))
    assert [answered(project, ana) for _ in new] == new
    assert Cursor.objects.filter(project=other).exists()


def test_what_opened_without_a_word_is_found_in_the_next_round(project, ana, led):
    for _ in range(3):
        skip(queue.claim(project, ana))
    assert queue.claim(project, ana) is None
    ana.assignments.filter(task=led[1]).delete()
    assert queue.claim(project, ana) is None
    a_while_later(cursors.ROUND - 5)
    assert queue.claim(project, ana) is None
    a_while_later(10)
    assert queue.claim(project, ana).task == led[1]


def test_who_asks_again_for_whom_nothing_is_left_costs_few_queries(project, ana, led):
    for _ in range(3):
        skip(queue.claim(project, ana))
    queue.claim(project, ana)
    assert queries_of(lambda: queue.claim(project, ana)) <= 8
    assert place(project, ana)[0] > max(task.priority for task in led)


def test_one_s_cursor_is_nobody_else_s(project, ana, ben, led):
    assert queue.claim(project, ben).task == led[0]


def test_what_is_open_is_counted_ahead_and_behind(project, ana, ben, led):
    assert (open_for(project, ana), open_for(project, ben)) == (3, NUMBER + 3)
    ana.assignments.filter(task=led[0]).delete()
    Task.every.filter(pk=led[0].pk).let_open()
    assert open_for(project, ana) == 4
    assert open_for(project, a_user(project), 5) == 5
