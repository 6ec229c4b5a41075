"""A kind of task without items, whose answer is a form: asked once, answered, frozen."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_prompt
from tests.toys.adding import add_kind
from tests.toys.tasks.write.kind import KIND
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import labels_of, read, records_of
from webapp.labeling.models import Label
from webapp.labeling.queue import claim
from webapp.labeling.services import Ask, create_tasks

__all__ = ["add_kind"]  # a fixture


@pytest.fixture
def asked(add_kind, project):
    """Two prompts that ask for an answer."""
    add_kind(KIND)
    asks = [Ask(a_prompt(project, split="train").pk) for _ in range(2)]
    assert create_tasks(project, "write", asks, need=1) == 2
    assert create_tasks(project, "write", asks, need=1) == 0


def test_without_scripts_it_is_a_plain_form_and_is_frozen(asked, project, ana, client):
    client.force_login(ana)
    url = reverse("labeling:label", args=[project.pk])
    assertContains(client.get(url), 'name="text"')
    held = claim(project, ana)
    sent = {"assignment": held.pk, "client_id": "0" * 32, "text": "Yes.", "tags": ["short", "kind"]}
    assert client.post(url, sent).status_code == 302
    artifact = freeze_snapshot(project).artifact
    (row,) = read(artifact.path)
    assert (row["kind"], row["items"], row["pairs"]) == ("write", [], 0)
    assert [record.completion for record in records_of(row)] == ["Yes."]
    assert list(labels_of(artifact, "train")) == []  # a demonstration is no label to compare by
    assert not Label.objects.disagreeing().exists()
