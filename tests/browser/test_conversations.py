"""A conversation with two models in a real browser, by keyboard alone, answered by a real live worker."""

import secrets

import pytest
from playwright.sync_api import expect

from alignment.seam.folders import committed
from tests.alignment.conftest import tiny_policy
from tests.browser.test_labeling import address, ana, press, saved, shown
from tests.browser.test_task_kinds import fits
from tests.browser.test_toy_tasks import opened
from tests.factories import a_prompt
from tests.webapp.labeling.test_conversations import come
from tests.words import WORDS
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.datasets.services import freeze_snapshot
from webapp.jobs.models import Job, State
from webapp.labeling import conversations
from webapp.labeling.exchanges import Exchange
from webapp.labeling.models import Assignment, Completion, Label
from webapp.labeling.services import Ask, create_tasks
from webapp.operations.stack import worker_command
from webapp.projects.services import save_composition

pytestmark = [
    pytest.mark.browser,
    pytest.mark.stack,
    pytest.mark.timeout(240),
    pytest.mark.django_db(transaction=True),
]
__all__ = ["address", "ana"]  # fixtures
PATIENCE = 60_000  # ms


@pytest.fixture
def models(project, tmp_path, stack):
    found = []
    for name in ("Rosencrantz", "Guildenstern"):
        with committed(tmp_path / name) as aside:
            tiny_policy(seed=len(name)).save(aside)
        kind = Artifact.Type.MODEL
        found.append(store(tmp_path / name, project=project, type=kind, name=name))
    return found


@pytest.fixture
def live(stack, trainers):
    """Starts a worker of live work, with a program that answers or with one that does not."""

    def live(settings="tests.forked_settings"):
        stack.forked_trainers(trainers).settings = settings
        stack.start("worker-live", *worker_command("live"))

    stack.broker().tend()
    return live


def state(page, name):
    expect(shown(page).locator(f"[data-state={name}]")).to_be_attached(timeout=PATIENCE)


class Drawn:
    """Chance as it happens to be: with it no answer of these models is empty."""

    randbits = randbelow = staticmethod(lambda _: 0)
    token_hex = staticmethod(secrets.token_hex)


@pytest.fixture
def page(project, models, context, browser_page, address, ana, monkeypatch):
    """The label page with one conversation to lead, with two models."""
    monkeypatch.setattr(conversations, "secrets", Drawn)
    asked = {"models": [one.pk for one in models], "turns": 3, "max_new_tokens": 3}
    save_composition(project, {"points": 2, "converse": asked}, seen=1)
    create_tasks(project, "converse", [Ask(a_prompt(project, WORDS[0], split="train").pk)], need=1)
    return opened(browser_page, context, address, ana)


def told(page, words):
    expect(page.locator("fieldset:not([hidden]) [data-told]")).to_contain_text(words)


def test_one_of_two_answers_is_chosen_by_a_key_and_answered(page):
    state(page, "begin")
    press(page, ["Enter"])
    state(page, "waiting")
    held = Assignment.objects.get()
    come(held, "Well.", "Hm.")
    state(page, "choosing")
    press(page, "2")
    state(page, "chosen")
    page.keyboard.type("And then?")
    press(page, ["Control+Enter"])
    state(page, "waiting")
    assert held.exchanges.first().choice == 6
    assert held.exchanges.last().prompt.messages[-1]["content"] == "And then?"


@pytest.mark.slow
def test_a_conversation_is_led_by_keys_and_outlives_its_worker(live, stack, project, models, page):
    begin_and_lose_the_worker(page, live, stack)
    said = page.locator("#conversing")
    state(page, "choosing")
    told(page, "Two answers are here")
    fits(page)
    assert not any(one.name in page.content() for one in models)
    press(page, "2")
    state(page, "chosen")
    page.keyboard.type(WORDS[1])
    fits(page)
    page.reload()
    expect(said).to_have_value(WORDS[1])
    state(page, "chosen")
    press(page, ["e", "Control+Enter"])
    state(page, "choosing")
    expect(said).to_have_value("")
    press(page, "1")
    state(page, "chosen")
    page.keyboard.type("unsent")
    press(page, ["Escape", "d"])
    told(page, "not sent")
    said.fill("")
    press(page, ["Escape", "d"])
    saved(page)
    led_to_a_label(project, models)


def begin_and_lose_the_worker(page, live, stack):
    """The program that should answer says nothing; its worker is killed, and another one answers."""
    live("tests.stalled_settings")
    state(page, "begin")
    press(page, ["Enter"])
    state(page, "waiting")
    stack.until(lambda: Job.objects.filter(state=State.WORKING).exists())
    stack.kill("worker-live")
    state(page, "lost")
    told(page, "has ended")
    live()


def led_to_a_label(project, models):
    """What was chosen, by answers of both models whose sides took turns."""
    turns = Label.objects.get().answer["turns"]
    assert [one["choice"] for one in turns] == [6, 2]
    assert {one.model for one in Completion.objects.all()} == set(models)
    first, second = Exchange.objects.order_by("number")
    assert first.left.model == second.right.model
    assert [one["left"] for one in turns] == ["b sun sun", "please rain"]
    assert freeze_snapshot(project).pairs == 2
