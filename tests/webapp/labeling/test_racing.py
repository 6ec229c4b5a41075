"""Many processes at one queue."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import F

from tests.factories import a_user, some_tasks
from webapp.labeling.models import Assignment, Label, Task
from webapp.projects.models import Role

ROOT = Path(__file__).parents[3]
PROCESSES = 4
ANNOTATOR = """
import sys
from uuid import uuid4
import django
django.setup()
from webapp.accounts.models import User
from webapp.labeling import queue
from webapp.labeling.services import skip, submit_label
from webapp.projects.models import Project

project, person = Project.objects.get(pk=sys.argv[1]), User.objects.get(pk=sys.argv[2])
count, skipped = 0, sys.argv[3] == "skips"
while cards := queue.claim_page(project, person):
    count += 1
    if count % 7 or not skipped:
        submit_label(cards[0], client_id=uuid4(), answer={"choice": count % 8})
    else:
        skip(cards[0])
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("need", [1, 2])
def test_racing_processes_never_serve_a_task_too_often(project, need):
    some_tasks(project, 40, need=need)
    people = [a_user(project, role=Role.ANNOTATOR) for _ in range(PROCESSES)]
    racers = [race(project, person, "skips") for person in people]
    assert [racer.wait(timeout=90) for racer in racers] == [0] * PROCESSES
    answers = Counter(Label.objects.values_list("task", flat=True))
    assert max(answers.values()) <= need
    assert not Assignment.objects.filter(state=Assignment.State.LEASED).exists()
    assert not Task.objects.exclude(taken=F("done")).exists()
    assert Task.objects.filter(done=F("need")).count() >= 35


@pytest.mark.django_db(transaction=True)
def test_two_tabs_of_one_person_never_hold_more_than_a_page(project):
    some_tasks(project, 20)
    person = a_user(project, role=Role.ANNOTATOR)
    racers = [race(project, person, "answers all") for _ in range(2)]
    assert [racer.wait(timeout=90) for racer in racers] == [0, 0]
    assert Assignment.objects.filter(annotator=person).count() == 20
    assert Label.objects.current().count() == Label.objects.filter(counted=True).count()


def race(project, person, way):
    arguments = [sys.executable, "-c", ANNOTATOR, str(project.pk), str(person.pk), way]
    return subprocess.Popen(arguments, cwd=ROOT, env=environment())


def environment():
    """Of a process on the test's database."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        place = f"{database['HOST']}:{database['PORT']}/{database['NAME']}"
        url = f"postgres://{database['USER']}:{database['PASSWORD']}@{place}"
    return os.environ | {
        "DATABASE_URL": url,
        "ATTUNE_VAR": str(settings.VAR),
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
    }
