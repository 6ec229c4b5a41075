"""What came and went between two snapshots."""

import shutil
from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_label, a_prompt, a_ranking, some_tasks
from webapp.datasets.changes import SnapshotChanges, changes_between
from webapp.datasets.errors import SnapshotError
from webapp.datasets.filters import SnapshotFilter
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.services import submit_label, undo_label
from webapp.quality.adjudication import Decision, adjudicate

pytestmark = pytest.mark.django_db
NOTHING = dict.fromkeys(SnapshotChanges.__dataclass_fields__, 0)


def told(older, newer):
    """What is not nothing."""
    found = changes_between(older, newer)
    return {name: n for name, n in vars(found).items() if n}


def test_each_label_is_told_by_what_became_of_it(project, researcher):
    kept, revised, retracted, removed = (a_label(task) for task in some_tasks(project, 4))
    first = freeze_snapshot(project)
    submit_label(revised.assignment, client_id=uuid4(), answer={"choice": 6})
    undo_label(retracted.annotator, retracted.client_id)
    removed.delete()
    a_label(some_tasks(project)[0])
    second = freeze_snapshot(project)
    expected = {"given": 2, "revised": 1, "retracted": 1, "removed": 1}
    assert told(first, second) == expected | {"prompts_added": 1, "prompts_gone": 2}
    assert kept.pk
    assert SnapshotChanges(**NOTHING).is_empty


def test_what_a_filter_leaves_out_and_lets_in_is_told(project):
    late = a_label(some_tasks(project)[0])
    type(late).objects.filter(pk=late.pk).update(counted=False)
    a_label(some_tasks(project)[0])
    whole, some = (
        freeze_snapshot(project),
        freeze_snapshot(project, SnapshotFilter(counted_only=True)),
    )
    again = freeze_snapshot(project, SnapshotFilter(until=some.created_at.date()))
    assert told(whole, some) == {"left_out": 1, "prompts_gone": 1}
    assert told(some, again) == {"let_in": 1, "prompts_added": 1}
    assert told(whole, again) == {}


def test_decisions_and_rankings_are_counted_by_their_words(project, researcher):
    task = some_tasks(project)[0]
    a_label(task)
    a_ranking(a_prompt(project), 0, 1)
    first = freeze_snapshot(project)
    adjudicate(task, Decision.by_place(task, {"choice": 2}, "So."), by=researcher, key=uuid4())
    a_ranking(a_prompt(project), 0, 1, 2)
    second = freeze_snapshot(project)
    expected = {"decisions_added": 1, "rankings_added": 3, "prompts_added": 1}
    assert told(first, second) == expected
    without = freeze_snapshot(project, SnapshotFilter(include_ranks=False))
    assert told(second, without) == {"rankings_gone": 4, "prompts_gone": 2}


def test_the_page_compares_with_the_last_or_the_named_one(project, client, researcher):
    client.force_login(researcher)
    a_label(some_tasks(project)[0])
    first = freeze_snapshot(project)
    url = reverse("datasets:changes", args=[project.pk, first.pk])
    assertContains(client.get(url), "nothing before it")
    a_label(some_tasks(project)[0])
    second = freeze_snapshot(project)
    url = reverse("datasets:changes", args=[project.pk, second.pk])
    assertContains(client.get(url), "Given since: 1")
    assertContains(client.get(url, {"since": "1"}), "Given since: 1")
    for astray in ("2", "9", "x"):
        assertContains(client.get(url, {"since": astray}), 'role="alert"')
    shutil.rmtree(first.artifact.path)
    assertContains(client.get(url), "nobody can tell what changed")
    with pytest.raises(SnapshotError):
        changes_between(first, second)
