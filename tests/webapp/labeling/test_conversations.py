"""Conversations with models: each turn a row, its answers on sides that take turns, nothing lost between two pages."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from alignment.seam.records import CompletionRecord, Message, prompt_key
from tests.factories import a_turn, a_user, again, an_artifact, tasks_of
from webapp.accounts.roles import Role
from webapp.jobs.models import Job, State
from webapp.labeling import conversations
from webapp.labeling.composition import Composition, composition_of
from webapp.labeling.exchanges import Exchange
from webapp.labeling.models import Completion
from webapp.labeling.queue import claim
from webapp.labeling.services import skip
from webapp.machine.processes import own_name
from webapp.projects.models import PromptStanding
from webapp.projects.services import save_composition
from webapp.site.clock import after


@pytest.fixture
def models(project, tmp_path):
    return [an_artifact(project, tmp_path) for _ in range(2)]


@pytest.fixture
def held(project, ana, client, models):
    """A conversation that ana may lead, with two models and four turns at most."""
    asked = {"models": [one.pk for one in models], "turns": 4, "max_new_tokens": 9}
    save_composition(project, {"converse": asked}, seen=1)
    tasks_of(project, "converse", 1, size=0)
    client.force_login(ana)
    return claim(project, ana)


@pytest.fixture
def act(client, project, held):
    """What a page does in the conversation, and what it is told."""
    url = reverse("labeling:conversation", args=[project.pk])

    def act(act="look", **fields):
        sent = {"act": act, "assignment": held.pk, "form": 2} | fields
        return client.get(url, sent) if act == "look" else client.post(url, sent)

    return act


def come(held, *texts):
    """The answers to the last turn are there."""
    turn = held.exchanges.last()
    records = [
        CompletionRecord(
            prompt_key=turn.prompt.key, text=text, logps=-2.5, tokens=3, truncated=False
        )
        for text in texts
    ]
    conversations.keep_answers(turn.job, records)
    turn.job.state = State.DONE
    turn.job.save()
    return again(turn)


@pytest.mark.once
def test_a_conversation_goes_on_with_the_answers_that_are_chosen(act, held, project, models):
    assertContains(act(), 'data-state="begin" data-seen="0"')
    assertContains(act("ask", seen=0), 'data-state="waiting" data-seen="1"')
    job = Job.objects.get()
    assert (job.kind, job.payload["max_new_tokens"], job.created_by) == (
        "answer",
        9,
        held.annotator,
    )
    first = come(held, "Well.", "<script>alert(1)</script> Hm.")
    assert [first.left.model_id, first.right.model_id] == job.payload["models"]
    assert (first.left.logps, first.left.prompt) == (-2.5, held.task.prompt)
    page = act()
    assertContains(page, 'data-state="choosing"')
    assertContains(page, "&lt;script&gt;")
    assertNotContains(page, "<script>")
    assertContains(act("choose", seen=1, choice=6), 'data-state="chosen"')
    assertContains(act("ask", seen=1, said="And\r\nthen?"), 'data-state="waiting" data-seen="2"')
    second = come(held, "So.", "No.")
    assert second.left.model_id != first.left.model_id  # the sides take turns
    opening = held.task.prompt
    spoken = [
        *opening.messages,
        message("assistant", first.right.text),
        message("user", "And\nthen?"),
    ]
    assert second.prompt.messages == spoken
    assert second.prompt.key == prompt_key(Message(**one) for one in spoken)
    assert (second.prompt.split, second.prompt.standing) == (opening.split, PromptStanding.RETIRED)
    assert list(project.prompts.for_labels()) == [opening]
    assert second.left.prompt == second.prompt
    assert second.form == 2


def message(role, content):
    return {"role": role, "content": content}


def test_sides_of_two_models_are_drawn_and_then_turned(held):
    pair = (7, 8)
    drawn = {tuple(conversations._sides(pair, None)) for _ in range(60)}
    assert drawn == {(7, 8), (8, 7)}


def test_two_pages_do_not_lead_one_conversation_apart(act, held):
    act("ask", seen=0)
    for sent in ({"act": "ask", "seen": 0}, {"act": "ask", "seen": 1, "said": "x"}):
        assert "went on in another tab" in act(**sent).json()["error"]
    come(held, "a", "b")
    act("choose", seen=1, choice=1)
    assert act("choose", seen=1, choice=7).status_code == 409
    assert Exchange.objects.get().choice == 1


@pytest.mark.once
@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"act": "ask", "seen": 1, "said": " \n"}, "Write what you say next"),
        ({"act": "ask", "seen": 1, "said": "x" * 20_001}, "Write what you say next"),
        ({"act": "again", "seen": 1}, "another tab"),
        ({"act": "choose", "seen": 1, "choice": 2}, "another tab"),
        ({"act": "dance", "seen": 1}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_stored(act, held, sent, words):
    a_turn(held)
    answer = act(**sent)
    assert (answer.status_code, words in answer.json()["error"]) == (409, True)
    assert Exchange.objects.count() == 1


@pytest.mark.once
@pytest.mark.parametrize("choice", [0, 4, 8])
def test_one_of_the_answers_has_to_go_on(act, held, choice):
    a_turn(held, choice=None)
    assert act("choose", seen=1, choice=choice).status_code == 409
    assert Exchange.objects.get().choice is None


@pytest.mark.once
def test_after_the_last_turn_it_can_only_be_ended(act, held):
    for _ in range(4):
        a_turn(held)
    assertContains(act(), 'data-state="over"')
    assert "only be ended" in act("ask", seen=4, said="More?").json()["error"]


@pytest.mark.once
def test_nothing_can_be_said_to_an_empty_answer(act, held):
    Completion.objects.filter(pk=a_turn(held).left_id).update(text=" ")
    assertContains(act(), 'data-state="over"')


@pytest.mark.once
def test_a_project_without_a_model_says_what_to_do(act, held, project, models):
    save_composition(project, {}, seen=2)
    assert "How tasks are asked" in act("ask", seen=0, form=3).json()["error"]
    models[0].delete()
    assert "is gone" in act("ask", seen=0).json()["error"]
    assert not Exchange.objects.exists()


def test_the_page_says_who_is_not_there(act, held):
    dead = f"{own_name().partition('/')[0]}/{2**22 + 1}/1"
    act("ask", seen=0)
    Job.objects.update(created_at=after(-conversations.WAITED - 1))
    assertContains(act(), 'data-state="alone"')
    busy = Job.objects.create(
        project=held.task.project, kind="answer", key="b", state=State.WORKING
    )
    assertContains(act(), 'data-state="waiting"')
    busy.delete()
    Job.objects.update(state=State.WORKING, holder=dead)
    assertContains(act(), 'data-state="lost"')
    Job.objects.update(state=State.FAILED, message="The disk is full.")
    assertContains(act(), 'data-told="The disk is full."')
    assertContains(act("again", seen=1), 'data-state="waiting"')
    assert Job.objects.count() == 2


@pytest.mark.once
def test_who_looks_waits(act, held):
    act("ask", seen=0)
    turn = held.exchanges.get()
    Exchange.objects.update(seen_at=after(-conversations.GONE - 1))
    assert not conversations.is_waited_for(turn)
    act()
    assert conversations.is_waited_for(turn)


def test_answers_that_come_twice_or_too_late_are_kept_once(act, held):
    act("ask", seen=0)
    turn = come(held, "a", "b")
    assert conversations.keep_answers(turn.job, ()) == {"kept": 0}
    assert Completion.objects.count() == 2


def test_a_conversation_of_somebody_else_or_one_that_was_left_is_not_led(
    act, held, client, project
):
    skip(held)
    assert "have ended" in act("ask", seen=0).json()["error"]
    client.force_login(a_user(project, Role.ANNOTATOR))
    assert "not yours" in act().json()["error"]


@pytest.mark.once
def test_conversations_are_offered_where_a_model_answers(held, project, models):
    assert composition_of(again(project)).offers("converse")
    assert not Composition().offers("converse")
    assert Composition().names("converse")
    kinds = {"kinds": ["compare"], "converse": {"models": [models[0].pk]}}
    assert not Composition(**kinds).offers("converse")
    assert Composition(**kinds).converse.pair == (models[0].pk, models[0].pk)
