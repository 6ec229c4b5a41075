"""What the benchmark of the queue asks of people: tasks of every kind, most of which they have labelled."""

import pytest

from benchmarks.queue import PAIRS, label_before, size_of, some_tasks
from tests.factories import a_user
from webapp.accounts.roles import Role
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.models import Cursor, Label, Task
from webapp.labeling.queue import claim

TASKS, OWN = PAIRS + 2, 9


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_who_has_labelled_what_comes_first_is_asked_what_is_left(kind, project, tmp_path):
    people = [a_user(project, Role.ANNOTATOR) for _ in range(2)]
    some_tasks(project, TASKS, tmp_path, kind, 3)
    label_before(people, OWN)
    order = list(Task.objects.order_by("priority", "key"))
    assert [task.done for task in order] == [2] * OWN + [0] * (TASKS - OWN)
    assert Label.objects.count() == 2 * OWN
    places = {(one.priority, one.key) for one in Cursor.objects.filter(annotator__in=people)}
    assert places == {(order[OWN - 1].priority, order[OWN - 1].key)}  # nothing is walked over
    held = claim(project, people[0])
    assert (held.task, len(held.shown)) == (order[OWN], size_of(kind))
    assert claim(project, a_user(project, Role.ANNOTATOR)).task == order[0]


def test_a_quarter_of_tasks_asks_two_people_unless_told_otherwise(project, tmp_path):
    some_tasks(project, TASKS, tmp_path)
    assert Task.objects.filter(need=2).count() == TASKS // 4
