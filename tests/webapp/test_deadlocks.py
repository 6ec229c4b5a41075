"""Transactions that wait for each other."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, transaction
from django.db.models import F

from tests.factories import some_tasks
from webapp.labeling.models import Task
from webapp.projects.models import Project
from webapp.site.deadlocks import again_after_deadlock


@pytest.mark.django_db(transaction=True)
def test_who_loses_a_deadlock_does_it_again(project):
    one, other = (task.pk for task in some_tasks(project, 2))
    both = Barrier(2)
    met = []

    @again_after_deadlock
    @transaction.atomic
    def swap(first, second):
        Task.objects.filter(pk=first).update(skips=F("skips") + 1)
        if len(met) < 2 and connection.vendor == "postgresql":
            met.append(both.wait(30))  # each holds a row; SQLite lets but one in
        Task.objects.filter(pk=second).update(skips=F("skips") + 1)

    def act(order):
        try:
            swap(*order)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(act, [(one, other), (other, one)]))
    assert set(Task.objects.values_list("skips", flat=True)) == {2}


@pytest.mark.django_db(transaction=True)
def test_who_stores_second_what_may_be_there_once_looks_again(project):
    """SQLite lets one in after the other, and so the second sees what the first has stored."""
    both = Barrier(2)
    met = []

    @again_after_deadlock
    @transaction.atomic
    def join(name):
        known = Project.objects.filter(name=name).first()
        if len(met) < 2 and connection.vendor == "postgresql":
            met.append(both.wait(30))  # neither sees the other's
        return known or Project.objects.create(name=name)

    def act(name):
        try:
            return join(name).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(act, ["the one"] * 2))) == 1
