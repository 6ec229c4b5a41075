"""A change that says which rows it changed."""

from django.db.models import F

from tests.factories import a_project, some_tasks
from webapp.labeling.models import Task
from webapp.site.returning import update_returning


def test_the_rows_that_were_changed_come_back_as_they_are_then(project):
    first, second = some_tasks(project, 2)
    Task.objects.filter(pk=second.pk).update(taken=1)
    free = Task.objects.filter(taken__lt=F("need"), project__name=project.name)
    assert update_returning(free, "id, taken", taken=F("taken") + 1) == [(first.pk, 1)]
    assert update_returning(free, "id", taken=1) == []


def test_what_no_row_can_be_is_asked_of_no_database(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert update_returning(Task.objects.filter(pk__in=[]), "id", taken=0) == []


def test_other_rows_stay_as_they_are(project):
    some_tasks(other := a_project(), 1)
    some_tasks(project, 1)
    update_returning(Task.objects.filter(project=project), "id", taken=1)
    assert other.tasks.get().taken == 0
