"""A change that says which rows it changed."""

import pytest
from django.db.models import F

from tests.factories import a_project, some_tasks
from webapp.labeling.models import Task
from webapp.site.returning import Returning


@pytest.fixture
def take():
    """Take a place in the tasks of a project that need more than so many."""

    def describe(project, number):
        rows = Task.objects.filter(project__pk=project, need__gt=number).order_by("key")
        return rows.filter(taken__lt=F("need")), {"taken": F("taken") + 1, "priority": 7}

    return Returning("id, taken", describe)


def test_the_rows_that_were_changed_come_back_as_they_are_then(project, take):
    first, second = some_tasks(project, 2)
    Task.objects.filter(pk=second.pk).update(taken=1)
    assert take(project.pk, 0) == [(first.pk, 1)]
    assert take(project.pk, 0) == []
    assert set(Task.objects.values_list("taken", "priority")) == {(1, 7), (1, 100)}


def test_each_call_has_its_own_numbers(project, take):
    (other,) = some_tasks(a_project(), 1, need=3)
    some_tasks(project, 1)
    assert take(other.project_id, 3) == []
    assert [take(other.project_id, 2) for _ in range(4)] == [[(other.pk, n)] for n in (1, 2, 3)] + [
        []
    ]
    assert project.tasks.get().taken == 0


def test_a_statement_is_written_once(project, take, django_assert_num_queries, monkeypatch):
    take(project.pk, 0)
    monkeypatch.setattr(take, "describe", None)
    with django_assert_num_queries(1):
        take(project.pk, 0)
