"""Conversations: ended with the turns that the server has, frozen as a preference for each, and learned from."""

import json
import math
from uuid import uuid4

import pytest
from django.urls import reverse
from pydantic import ValidationError
from pytest_django.asserts import assertContains

from alignment.seam.events import StepDone
from alignment.seam.records import Message, PromptRecord, prompt_key
from tests.alignment.rewarding import run
from tests.factories import a_completion, a_turn, again, an_artifact, tasks_of
from tests.words import WORDS
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.trl_completion import imitated_in as exported
from webapp.datasets.exports.trl_unpaired import VERDICTS, verdicts_of
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import Entry, imitated_in, pairs_of, read, record_batches
from webapp.labeling.composition import Composition, composition_of
from webapp.labeling.kinds.converse import KIND, Answer, TurnSaid
from webapp.labeling.kinds.descriptor import Asked
from webapp.labeling.models import Label
from webapp.labeling.queue import claim

pytestmark = pytest.mark.once


@pytest.fixture
def held(project, ana, client):
    tasks_of(project, "converse", 1, size=0)
    client.force_login(ana)
    return claim(project, ana)


@pytest.fixture
def end(held, client, project):
    """End the conversation, with whatever else a page sends."""
    url = reverse("labeling:label", args=[project.pk])

    def end(**fields):
        named = {"assignment": held.pk, "client_id": uuid4(), "ended": "yes"}
        return client.post(url, named | fields)

    return end


def led(held, *choices):
    """A conversation of as many turns, in words that a tiny model knows."""
    for place, choice in enumerate(choices):
        texts = {"left": WORDS[place], "right": f"{WORDS[place]} {WORDS[-1]}"}
        answers = {side: a_completion(held.task.prompt, text) for side, text in texts.items()}
        a_turn(held, choice, **answers, **({"said": WORDS[1]} if place else {}))


def test_it_is_ended_frozen_and_learned_from(held, end, project, tmp_path):
    led(held, 1, 6, 2)
    a_turn(held, None)  # on which nobody has decided
    assert end(turns="mine", said="Bye").status_code == 302
    label = Label.objects.get()
    assert [one["choice"] for one in label.answer["turns"]] == [1, 6, 2]
    assert (label.answer["said"], label.verdict) == ("Bye", "led")
    assert str(label.in_words.text) == f"3 turns: {WORDS[2]}"
    snapshot = freeze_snapshot(project)
    pairs = list(pairs_of(snapshot.artifact, "train"))
    assert [(one.chosen, one.rejected, one.strength, one.left_won) for one in pairs] == [
        (WORDS[0], f"{WORDS[0]} {WORDS[-1]}", 3, True),
        (f"{WORDS[1]} {WORDS[-1]}", WORDS[1], 2, False),
        (WORDS[2], f"{WORDS[2]} {WORDS[-1]}", 2, True),
    ]
    assert pairs[0].prompt.key == held.task.prompt.key
    (batch,) = record_batches(snapshot.artifact.path)
    columns = PREFERENCES.found_in(batch, "train").to_pylist()
    assert [(one["prompt_key"], len(json.loads(one["messages"]))) for one in columns] == [
        (one.prompt.key, len(one.prompt.messages)) for one in pairs
    ]
    asked = held.task.prompt.text
    assert [one.content for one in pairs[2].prompt.messages] == [
        asked, WORDS[0], WORDS[1], f"{WORDS[1]} {WORDS[-1]}", WORDS[1]
    ]  # fmt: skip
    assert pairs[2].prompt.key == prompt_key(pairs[2].prompt.messages)
    steps = [one for one in run(tmp_path / "run", pairs * 4, epochs=1) if isinstance(one, StepDone)]
    assert steps
    assert all(math.isfinite(one.metrics["loss"]) for one in steps)


def test_an_answer_that_is_chosen_once_and_then_not_is_good_where_it_was_chosen(held, end, project):
    for choice in (1, 7):
        texts = {"left": "Yes.", "right": "No."}
        answers = {side: a_completion(held.task.prompt, text) for side, text in texts.items()}
        a_turn(held, choice, **answers)
    end()
    folder = freeze_snapshot(project).artifact.path
    (entry,) = map(Entry, read(folder))
    said = [(len(one.prompt.messages), one.text, one.good) for one in verdicts_of(entry)]
    assert said == [(1, "Yes.", True), (1, "No.", False), (3, "No.", True), (3, "Yes.", False)]
    (batch,) = record_batches(folder)
    columns = VERDICTS.found_in(batch, "train").to_pylist()
    assert [(len(json.loads(one["messages"])), one["text"], one["good"]) for one in columns] == said
    good = [(1, "Yes."), (3, "No.")]
    assert [(len(one.prompt.messages), one.text) for one in exported(entry)] == good
    assert [
        (len(one.prompt.messages), one.completion) for one in imitated_in(entry.records)
    ] == good


def test_a_table_shows_what_was_spoken(held, end, client, project, researcher):
    led(held, 1, 7)
    end()
    client.force_login(researcher)
    page = client.get(reverse("labeling:labels", args=[project.pk]))
    assertContains(page, 'data-role="assistant"', count=2)


def test_without_a_choice_it_is_not_ended(held, end):
    assertContains(end(), "Choose between two answers once at least")
    assert not Label.objects.exists()


def test_sent_again_it_is_ended_once_and_after_an_undo_it_goes_on(held, end, client, project):
    led(held, 1)
    name = uuid4()
    for _ in range(2):
        end(client_id=name)
    assert Label.objects.count() == 1
    client.post(reverse("labeling:label", args=[project.pk]), {"undo": name})
    led(held, 7)
    end()
    assert len(Label.objects.current().get().answer["turns"]) == 2


def test_an_empty_answer_ends_what_can_be_learned():
    messages = (Message(role="user", content="Hm?"),)
    asked = Asked(PromptRecord(key=prompt_key(messages), messages=messages), ())
    turns = [
        TurnSaid(left="", right="b", choice=1),
        TurnSaid(said="x", left="c", right="d", choice=1),
    ]
    records = list(KIND.records(asked, Answer(ended="yes", turns=turns)))
    assert [(one.chosen, len(one.prompt.messages)) for one in records] == [("", 1)]


@pytest.mark.parametrize("choice", [0, 4, 9])
def test_a_turn_without_a_preference_is_none(choice):
    with pytest.raises(ValidationError):
        TurnSaid(left="a", right="b", choice=choice)


@pytest.mark.parametrize(("points", "number"), [(2, 2), (4, 4), (7, 6)])
def test_one_of_the_keys_chooses_which_goes_on(points, number):
    keys = KIND.composed_keys(Composition(points=points))
    steps = [key for key in keys if "choice" in (key.answer or {})]
    assert [key.usual for key in steps] == [str(place) for place in range(1, number + 1)]


@pytest.mark.parametrize(
    ("sent", "models"),
    [({}, None), ({"model": 0}, [0]), ({"model": 0, "other_model": 1, "turns": 3}, [0, 1])],
)
def test_its_models_are_chosen_with_the_form(client, project, researcher, tmp_path, sent, models):
    there = [an_artifact(project, tmp_path).pk for _ in range(2)]
    client.force_login(researcher)
    url = reverse("labeling:form", args=[project.pk])
    form = {
        "seen": 1, "kinds": ["converse", "compare"], "points": 7, "rationale": "optional",
        "scales-TOTAL_FORMS": 0, "scales-INITIAL_FORMS": 0, "turns": 6, "max_new_tokens": 64, "temperature": 0.5,
    }  # fmt: skip
    chosen = {name: there[at] if name != "turns" else at for name, at in sent.items()}
    assert client.post(url, form | chosen).status_code == 302
    said = composition_of(again(project)).converse
    if models is None:
        assert said is None
        return
    assert list(said.models) == [there[at] for at in models]
    assert (said.turns, said.temperature) == (sent.get("turns", 6), 0.5)
    assertContains(client.get(url), "Models that answer in conversations")
