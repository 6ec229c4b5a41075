"""Writing an answer: kept as it is written, stored once, and imitated."""

import pytest
from django.urls import reverse
from pydantic import ValidationError
from pytest_django.asserts import assertContains

from alignment.kinds import KINDS
from alignment.kinds.kind import Rows
from tests.factories import a_prompt, a_snapshot, a_user, again
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import labels_of
from webapp.labeling.kinds.demonstrate import KIND, Answer
from webapp.labeling.kinds.writing import LONGEST
from webapp.labeling.models import Label
from webapp.labeling.queue import claim
from webapp.labeling.services import Ask, create_tasks
from webapp.launch.checks import FEWEST_PAIRS, Asked, few_labels
from webapp.runs.inputs import label_reader


@pytest.fixture
def asked(project, ana, client):
    """Somebody who is asked to answer two prompts, and the address of their page."""
    asks = [Ask(a_prompt(project, split="train").pk) for _ in range(2)]
    assert create_tasks(project, "demonstrate", asks, need=1) == 2
    client.force_login(ana)
    return claim(project, ana), reverse("labeling:label", args=[project.pk])


def written(text):
    return {"client_id": "0" * 32, "text": text}


@pytest.mark.once
def test_without_scripts_it_is_written_frozen_and_imitated(asked, project, client):
    held, url = asked
    assertContains(client.get(url), f'maxlength="{LONGEST}"')
    sent = written(" Yes,\r\n<b>gladly</b>.") | {"assignment": held.pk}
    assert client.post(url, sent).status_code == 302
    assert Label.objects.get().answer == {"text": " Yes,\n<b>gladly</b>."}
    snapshot = freeze_snapshot(project)
    assert (snapshot.pairs, snapshot.written_in("train")) == (0, 1)
    said = list(label_reader(KINDS["sft"].input("labels").rows)(snapshot.artifact, "train"))
    assert [(one.prompt.key, one.completion) for one in said] == [
        (held.task.prompt.key, " Yes,\n<b>gladly</b>.")
    ]
    assert list(labels_of(snapshot.artifact, "train")) == []
    client.force_login(a_user(project, Role.RESEARCHER))
    table = client.get(reverse("labeling:labels", args=[project.pk]))
    assertContains(table, "Yes,\n&lt;b&gt;gladly&lt;/b&gt;.")
    assertContains(
        client.get(reverse("datasets:snapshot", args=[project.pk, snapshot.pk])), "gladly"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "Choose an answer first"), (" \n ", "That is no answer"), ("x" * (LONGEST + 3), "3 characters too long")],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_and_given_back(asked, client, text, words):
    held, url = asked
    refused = client.post(url, written(text) | {"assignment": held.pk})
    assertContains(refused, words)
    assert not text.strip() or text in refused.content.decode()
    assert not Label.objects.exists()


@pytest.mark.once
def test_a_draft_of_it_is_kept(asked, project, client):
    held, url = asked
    client.post(
        reverse("labeling:draft", args=[project.pk]), {"assignment": held.pk, "text": "Half"}
    )
    assert again(held).draft == {"fields": {"text": "Half"}}
    assertContains(client.get(url), "Half</textarea>")


def test_a_text_without_a_letter_is_no_answer():
    with pytest.raises(ValidationError):
        Answer(text=" \n")
    assert KIND.ask([]) == [()]


@pytest.mark.once
def test_enough_written_answers_start_a_run_that_imitates_them_and_no_other(project, tmp_path):
    snapshot = a_snapshot(project, tmp_path, pairs={})
    least = FEWEST_PAIRS["train"]
    refused = {}
    for written in (least, least - 1):
        snapshot.manifest["written"] = {"train": written}
        for kind in ("sft", "reward"):
            asked = Asked(KINDS[kind].settings(), {"labels": snapshot.artifact})
            refused[kind, written] = [role for role, _ in few_labels(asked, KINDS[kind])]
    assert refused.pop(("sft", least)) == []
    assert set(map(tuple, refused.values())) == {("labels",)}
    assert {KINDS[kind].input("labels").rows for kind in ("sft", "align")} == {Rows.IMITATED}
