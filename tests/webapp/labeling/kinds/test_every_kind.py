"""What every kind of task has from the seam: a plain form, drafts, undo, tables, snapshots, a second sending.

Simulated people answer each, so that a new kind is looked at without a line here.
"""

from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils.html import escape
from pytest_django.asserts import assertContains, assertRedirects

from alignment.world.utility import SimulatedAnnotator
from tests.cases import cases
from tests.factories import a_turn, a_user, again, tasks_of
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import read, records_of
from webapp.demo.annotators import ANSWERS
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.models import Label
from webapp.labeling.queue import claim

pytestmark = [
    cases("kind", TASK_KINDS, quick=["compare", "edit", "converse"], indirect=True),
    pytest.mark.once,
]
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def kind(request):
    return TASK_KINDS[request.param]


@pytest.fixture
def card(kind, project, ana, client):
    """What somebody holds of this kind, what they answer, and where."""
    tasks_of(project, kind.name, 2, size=max(kind.items[0], min(kind.items[-1], 2)))
    client.force_login(ana)
    held = claim(project, ana)
    if kind.live:
        a_turn(held)
    shown = {"prompt": held.task.prompt.text, "items": [one.text for one in held.shown]}
    sent = ANSWERS[kind.name](SimulatedAnnotator(1), shown)
    url = reverse("labeling:label", args=[project.pk])
    named = {"assignment": held.pk, "client_id": uuid4()}
    return SimpleNamespace(held=held, sent=sent, url=url, posted={**sent, **named})


def test_without_scripts_its_form_stores_an_answer_by_the_form_that_was_shown(
    card, client, project
):
    page = client.get(card.url)
    assertContains(page, f'data-kind="{card.held.task.kind}"')
    assertRedirects(client.post(card.url, card.posted | {"form": project.form_version}), card.url)
    label = Label.objects.get()
    assert (label.assignment, label.counted, label.form) == (card.held, True, project.form_version)
    assert label.verdict
    assert label.verdict == label.asks.verdict(label.said, label.order)


@pytest.mark.twice
def test_an_answer_that_is_sent_again_is_stored_once(card, client):
    for _ in range(2):
        told = client.post(card.url, card.posted, headers=FRAGMENT)
        assertContains(told, f'data-receipt="{card.posted["client_id"]}"')
    assert Label.every.count() == 1


def test_without_anything_filled_in_it_is_refused_in_words(card, client):
    told = client.post(card.url, {name: card.posted[name] for name in ("assignment", "client_id")})
    assertContains(told, "Choose an answer first")
    assert not Label.every.exists()


@pytest.mark.twice
def test_undo_brings_back_what_was_filled_in(card, client, kind):
    client.post(card.url, card.posted)
    told = client.post(card.url, {"undo": card.posted["client_id"]}, headers=FRAGMENT)
    assertContains(told, f'data-undone="{card.held.pk}"')
    assert not Label.objects.current().exists()
    written = {name: value for name, value in card.sent.items() if name in kind.written}
    assert again(card.held).draft.get("fields", {}).items() >= written.items()


def test_a_draft_keeps_what_is_filled_in(card, client, project, kind):
    url = reverse("labeling:draft", args=[project.pk])
    told = client.post(url, card.posted | {"rationale": "Half a reason"})
    assert told.json() == {"revision": 1}
    draft = again(card.held).draft
    assert draft["rationale"] == "Half a reason"
    assert draft.get("fields", {}) == {
        name: value for name, value in card.sent.items() if name in kind.written
    }
    assertContains(client.get(card.url), "Half a reason")


def test_a_table_says_it_in_words_and_a_snapshot_keeps_it(card, client, project, kind):
    client.post(card.url, card.posted | {"rationale": "Because."})
    label = Label.objects.get()
    client.force_login(a_user(project, Role.RESEARCHER))
    table = client.get(reverse("labeling:labels", args=[project.pk]))
    assertContains(table, escape(str(label.in_words.text)))
    (row,) = read(freeze_snapshot(project).artifact.path)
    assert (row["kind"], row["form"], row["rationale"]) == (
        kind.name,
        project.form_version,
        "Because.",
    )
    assert row["items"] == [one.text for one in label.shown]
    assert bool(list(records_of(row))) == kind.made


def test_nobody_sees_which_model_wrote_what_it_shows(card, client, kind):
    page = client.get(card.url)
    assert all(escape(one.text) in page.content.decode() for one in card.held.shown)
    assert "imported" not in page.content.decode()


def test_simulated_people_answer_it(kind):
    assert kind.name in ANSWERS
