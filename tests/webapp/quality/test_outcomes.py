"""What labels of chosen tasks say, beside those of chance: by who gave them, with the accuracy of the scores' model."""

import pytest

from tests.factories import a_label, a_user, some_proposals, some_tasks
from webapp.accounts.roles import Role
from webapp.quality.models import Allocation, ChosenTask
from webapp.quality.outcomes import allocation_outcomes, hit

pytestmark = pytest.mark.django_db
FIRST, SECOND = 1, 7  # choices, where the item at place 0 stands first


@pytest.fixture
def chosen(project, var):
    """Three tasks chosen by disagreement and two by chance, all surely of the first answer."""
    scores = some_proposals(project, var, [])
    made = Allocation.objects.create(
        project=project, scores=scores, method="ensemble", wanted=5, control=0.4, seed=0
    )
    tasks = some_tasks(project, 5, need=2)
    for place, task in enumerate(tasks):
        ChosenTask.objects.create(
            task=task,
            allocation=made,
            chosen_by="ensemble" if place < 3 else "control",
            chance=0.9,
            information=0.2,
            entropy=0.3,
        )
    return tasks


def says(task, first, annotator):
    """Somebody prefers the answer at place 0, or the other."""
    turned = task.order(task.assignments.count())[0] != 0
    a_label(task, FIRST if first != turned else SECOND, annotator=annotator)


def test_before_anybody_answers_the_tasks_are_counted(chosen, project):
    rows = allocation_outcomes(project)
    assert [(row.tasks, row.labels, row.accuracy["value"]) for row in rows] == [
        (3, 0, None),
        (2, 0, None),
    ]
    assert [(row.entropy, row.information) for row in rows] == [pytest.approx((0.3, 0.2))] * 2


@pytest.mark.once
def test_labels_are_held_against_the_chance_that_was_given_before(chosen, project, ana, ben):
    for task, first, other in zip(chosen, (1, 0, 1, 1, 1), (1, 0, 0, 1, 1), strict=True):
        says(task, first, ana)
        says(task, other, ben)
    taught, control = allocation_outcomes(project)
    assert (taught.labels, control.labels) == (6, 4)
    assert (taught.accuracy["value"], control.accuracy["value"]) == (0.5, 1.0)
    assert (taught.accuracy["tasks"], control.accuracy["tasks"]) == (3, 2)
    assert taught.accuracy["low"] < 0.5 < taught.accuracy["high"]
    assert (taught.agreement["value"], control.agreement["value"]) == (pytest.approx(2 / 3), 1.0)


@pytest.mark.once
def test_machines_are_told_apart_and_who_prefers_nothing_proves_nothing(chosen, project, ana):
    robot = a_user(project, Role.ANNOTATOR, simulated=True)
    says(chosen[0], 1, robot)
    a_label(chosen[1], 4, annotator=ana)
    people, simulated, control = allocation_outcomes(project)
    assert (people.origin, simulated.origin) == ("People", "Simulated annotators")
    assert (people.labels, people.accuracy["value"]) == (1, None)
    assert (simulated.labels, simulated.accuracy["value"]) == (1, 1.0)
    assert control.labels == 0


@pytest.mark.once
def test_a_model_that_cannot_tell_is_half_right():
    assert [hit(0.5, 1.0), hit(0.6, 1.0), hit(0.6, 0.0), hit(0.4, 0.0)] == [0.5, 1.0, 0.0, 1.0]
