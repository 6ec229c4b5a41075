"""Labels read task by task."""

import pytest

from tests.factories import a_label, a_project, a_user, some_tasks
from webapp.labeling.services import undo
from webapp.quality import readings
from webapp.quality.readings import Origin, position_preferred, tasks_answered

pytestmark = pytest.mark.django_db


def test_all_tasks_with_labels_are_read_whatever_fits_in_hand(project, monkeypatch):
    monkeypatch.setattr(readings, "TASKS", 2)
    tasks = some_tasks(project, 5, need=2, texts=("Short.", "Much longer."))
    for task in tasks[:4]:
        a_label(task)
    a_label(tasks[0], 6)
    a_label(some_tasks(a_project())[0])
    found = [one for part in tasks_answered(project) for one in part]
    assert sorted(len(one.readings) for one in found) == [1, 1, 1, 2]
    assert {one.readings[0].task for one in found} == {task.pk for task in tasks[:4]}
    assert {tuple(one.lengths) for one in found} == {(6, 12)}


def test_what_was_taken_back_is_not_read(project):
    label = a_label(some_tasks(project)[0])
    undo(label.annotator, label.client_id)
    assert list(tasks_answered(project)) == [[]]


def test_whose_a_label_is(project):
    (task,) = some_tasks(project, need=3)
    a_label(task)
    a_label(task, annotator=a_user(simulated=True))
    label = a_label(task, annotator=a_user(simulated=True))
    label.imported = True
    label.save()
    ((found,),) = tasks_answered(project)
    origins = [one.origin for one in found.readings]
    assert origins == [Origin.PEOPLE, Origin.SIMULATED, Origin.IMPORTED]


@pytest.mark.parametrize(("choice", "position"), [(1, 0), (3, 0), (4, None), (0, None), (5, 1)])
def test_which_of_two_an_answer_prefers(choice, position):
    assert position_preferred("compare", f'{{"choice": {choice}}}') == position


def test_a_silent_repeat_is_read_with_what_its_person_said_before(project):
    first = a_label(some_tasks(project)[0])
    (again,) = some_tasks(project)
    again.repeat_of = first.task
    again.save()
    a_label(again, 6, annotator=first.annotator)
    ((one, other),) = tasks_answered(project)
    assert (one.before, other.before) == (None, {first.annotator_id: first.verdict})
