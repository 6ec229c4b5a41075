"""Rows of tests: gone when the next begins, and as services leave them where they are made at once."""

import pytest
from django.contrib.auth.models import Permission

from tests.factories import a_label, again, some_labels, some_tasks
from tests.rows import delete_rows
from webapp.labeling.models import Assignment, Label, Task
from webapp.projects.models import Project


@pytest.mark.django_db(transaction=True)
def test_rows_go_with_all_that_points_at_them_and_what_migrations_made_stays(project):
    a_label(some_tasks(project)[0])
    delete_rows()
    assert not Project.objects.exists()
    assert not Label.objects.exists()
    assert Permission.objects.exists()


OWN = {"id", "key", "identity", "client_id", "created_at", "lease_until"}


def written(model, task):
    """What its rows of one task say, but for names, times and what they point at."""
    names = [field.attname for field in model._meta.concrete_fields if not field.is_relation]
    mine = {"pk": task.pk} if model is Task else {"task": task}
    return model.objects.filter(**mine).values(*{*names} - OWN)


@pytest.mark.parametrize("choice", [1, 4, 7])
def test_labels_made_at_once_are_what_people_leave(project, choice):
    tasks = some_tasks(project, 3, need=1)
    Task.objects.filter(project=project).update(flip=1)
    at_once, by_service = [again(task) for task in tasks[:2]], again(tasks[2])
    some_labels(at_once, choice)
    label = a_label(by_service, choice)
    for model in (Label, Assignment, Task):
        wanted = [*written(model, by_service)]
        assert [[*written(model, task)] for task in at_once] == [wanted] * 2
    people = {*Label.objects.values_list("annotator", flat=True)}
    assert len(people) == 3
    mine = project.memberships.filter(user__in=people, role=label.annotator.memberships.get().role)
    assert mine.count() == 3
    assert not any(made.annotator.has_usable_password() for made in Label.objects.all())
