"""What was made of an artifact, through all runs between."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_label, a_run, an_artifact, some_tasks
from webapp.artifacts.lineage import descendants_of, models_made_of
from webapp.artifacts.models import Artifact
from webapp.datasets.services import freeze_snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def chain(project, var):
    """A snapshot, the reward model that learned from it, and the model that was aligned to that."""
    a_label(some_tasks(project)[0])
    snapshot, base = freeze_snapshot(project), an_artifact(project, var)
    learning = a_run(project, "reward", inputs={"labels": snapshot.artifact, "backbone": base})
    reward = an_artifact(project, var, Artifact.Type.REWARD, learning)
    inputs = {"reward": reward, "policy": base, "reference": base}
    aligning = a_run(project, "align", inputs=inputs)
    aligned = an_artifact(project, var, producer=aligning)
    return snapshot, base, reward, aligned


def test_descendants_are_found_through_what_lies_between(chain):
    snapshot, base, reward, aligned = chain
    assert models_made_of([snapshot.artifact_id]) == [aligned, reward]
    assert descendants_of([reward.pk]) == {aligned.pk}
    assert descendants_of([base.pk]) == {reward.pk, aligned.pk}
    assert models_made_of([aligned.pk]) == []


def test_the_pages_lead_both_ways(chain, project, client, researcher):
    client.force_login(researcher)
    snapshot, base, _reward, aligned = chain
    page = client.get(reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    assertContains(page, reverse("registry:model", args=[project.pk, aligned.pk]))
    assertNotContains(page, reverse("registry:model", args=[project.pk, base.pk]))
    made_from = client.get(reverse("registry:model", args=[project.pk, aligned.pk]))
    assertContains(made_from, reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    assertContains(made_from, "labels by 1 annotator")


@pytest.mark.once
def test_the_files_that_came_before_a_snapshot_are_named(project, client, researcher):
    client.force_login(researcher)
    columns = {"kind": "import", "state": "done"}
    before = project.jobs.create(**columns, key="before", payload={"name": "pairs.jsonl"})
    a_label(some_tasks(project)[0])
    snapshot = freeze_snapshot(project)
    project.jobs.create(**columns, key="after", payload={"name": "later.jsonl"})
    project.jobs.filter(key="after").update(ended_at="2100-01-01T00:00Z")
    project.jobs.filter(pk=before.pk).update(ended_at="2020-01-01T00:00Z")
    page = client.get(reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    assertContains(page, "pairs.jsonl")
    assertNotContains(page, "later.jsonl")
