"""A kind of task without items, whose answer is a form: asked once, answered, frozen."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_prompt, again
from tests.toys.adding import add_kind
from tests.toys.tasks.write.kind import KIND
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import labels_of, read, records_of
from webapp.labeling.models import Label
from webapp.labeling.queue import claim
from webapp.labeling.services import (
    Ask,
    Draft,
    DraftConflict,
    create_tasks,
    save_draft,
    skip,
    submit_label,
    undo_label,
)

pytestmark = pytest.mark.once

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


@pytest.fixture
def mine(asked, project, ana):
    return claim(project, ana)


def test_a_draft_keeps_what_is_written_of_an_answer(mine, project, client, ana):
    client.force_login(ana)
    url = reverse("labeling:draft", args=[project.pk])
    client.post(url, {"assignment": mine.pk, "text": "Half", "tags": ["kind"]})
    assert again(mine).draft == {"fields": {"text": "Half", "tags": ["kind"]}}
    page = client.get(reverse("labeling:label", args=[project.pk]))
    assertContains(page, "&quot;text&quot;: &quot;Half&quot;")


@pytest.mark.twice
def test_words_that_another_page_lacks_are_told_and_not_replaced(mine):
    save_draft(mine, Draft(fields={"text": "from the desk"}, base=0, page="desk", count=1))
    with pytest.raises(DraftConflict):
        save_draft(mine, Draft(fields={"text": "from the phone"}, base=0, page="phone", count=1))
    more = Draft(fields={"text": "from the desk, and more"}, base=0, page="phone", count=2)
    assert save_draft(mine, more) == 2


@pytest.mark.twice
def test_undo_gives_what_was_written_back(mine, ana):
    answer = {"text": "Yes.", "tags": ["short"]}
    label = submit_label(mine, client_id=uuid4(), answer=answer)
    assert undo_label(ana, label.client_id).draft["fields"] == answer


def test_a_skip_keeps_what_was_written(mine):
    skip(mine, "unclear", Draft(fields={"text": "Half"}))
    assert again(mine).draft == {"fields": {"text": "Half"}}


def test_without_scripts_a_refused_answer_comes_back_as_it_was_written(mine, project, client, ana):
    client.force_login(ana)
    sent = {"assignment": mine.pk, "client_id": uuid4(), "text": "Mine <b>", "tags": "rude"}
    page = client.post(reverse("labeling:label", args=[project.pk]), sent)
    assertContains(page, "That is no answer")
    assertContains(page, ">Mine &lt;b&gt;</textarea>")
