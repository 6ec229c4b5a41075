"""The demo as a newcomer follows it in a browser: each step becomes done by itself, and their labels count."""

import signal
import time

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.factories import a_user
from tests.webapp.machine.test_stack import started
from webapp.demo import newcomers, scenario
from webapp.demo.scenario import Demo
from webapp.labeling.models import Label
from webapp.rounds.config import RoundConfig

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.timeout(420)]
PASSWORD = "long-enough-to-type"  # of a test
PATIENCE = 60_000  # ms
STARTER = {"documents": 100, "layers": 1, "width": 16, "heads": 2, "vocabulary": 400, "steps": 3}
SHORT = {"max_new_tokens": 8}
ROUND = {
    "reward": {"epochs": 1},
    "align": SHORT
    | {"steps": 2, "prompts_per_step": 2, "completions_per_prompt": 2, "prompts": 4, "warmup": 1}
    | {"reference_completions": 2, "sample_prompts": 2},
    "evaluate": SHORT | {"judge": "utility", "prompts": 8, "completions_per_prompt": 2},
    "generate": SHORT | {"prompts": 4},
}
STEPS = (
    "prompts",
    "model",
    "answers",
    "labels",
    "snapshot",
    "reward",
    "align",
    "evaluate",
    "generate",
)
LONG = ("model", "labels", "reward", "align", "evaluate")  # that take longer than a page rests
SEEN = 400  # ms that a person looks at a pair before they answer
MINE = 3  # labels of the newcomer
AS_SHIPPED = {"ATTUNE_THREADS": "2", "ATTUNE_SPARE": "1"}


class Newcomer:
    """Looks at the home page whenever the demo waits, and labels as soon as there is something to label.

    Stands for the stack that the demo waits with, and for its terminal: one thread has the browser, the rows
    and the demo.
    """

    def __init__(self, stack, home, other):
        self.url = getattr(stack, "url", "")
        self.home, self.other = home, other
        self.seen = {name: [] for name in STEPS}
        self.given, self.loads, self.told = 0, 0, []
        home.on("load", self.note_load)

    def note_load(self, _):
        self.loads += 1

    def check(self):
        """All programs are well."""

    def pause(self, seconds):
        self.home.wait_for_timeout(1000 * seconds)
        self.look()
        if self.given < MINE and "running" in self.seen["labels"]:
            self.label()

    def look(self):
        for name in STEPS:
            state = self.home.locator(f"#step-{name} .badge").text_content(timeout=PATIENCE)
            if state not in self.seen[name][-1:]:
                self.seen[name].append(state)

    def label(self):
        """Answer three pairs on the label page, beside the home page."""
        self.other.goto(self.home.url + "label/")
        self.other.wait_for_selector("#dock[data-ready]")
        for number in range(1, MINE + 1):
            expect(self.other.locator("article:not([hidden])")).to_be_visible()
            self.other.wait_for_timeout(SEEN)
            self.other.keyboard.press("2")
            expect(self.other.locator("#today")).to_have_text(str(number))
        expect(self.other.locator("#saved")).to_contain_text("saved")
        self.given = MINE

    def step(self, title):
        self.title = title

    def progress(self, done, total, note=""):
        """It moved on."""

    def done(self, note, page):
        self.told.append(page)


@pytest.fixture
def small(monkeypatch):
    """The demo's steps with little in each, and a newcomer who leaves soon."""
    starter, answers = scenario.STARTER, scenario.COMPLETIONS
    settings = type(starter.config).model_validate(STARTER)
    first = answers.config.model_copy(update={"prompts": 45, **SHORT})
    monkeypatch.setattr(newcomers, "NEXT", 2.0)
    monkeypatch.setattr(scenario, "PROMPTS", 60)
    monkeypatch.setattr(scenario, "STARTER", starter._replace(config=settings))
    monkeypatch.setattr(scenario, "COMPLETIONS", answers._replace(config=first))
    monkeypatch.setattr(scenario, "ROUND", RoundConfig.model_validate(ROUND))


@pytest.fixture
def machine(stack, trainers):
    return stack.forked_trainers(trainers).broker().worker().tend().web()


@pytest.mark.slow
def test_a_newcomer_sees_each_step_become_done_and_labels_beside_the_simulated_people(
    small, machine, context
):
    a_user(username="ada", password=PASSWORD, is_superuser=True)
    home, other = context.new_page(), context.new_page()
    home.goto(f"{machine.url}/accounts/login/")
    home.get_by_label("Username").fill("ada")
    home.get_by_label("Password").fill(PASSWORD)
    home.get_by_role("button", name="Sign in").click()
    home.wait_for_url(lambda address: "login" not in address)
    newcomer = Newcomer(machine, home, other)
    demo = Demo(newcomer, newcomer)
    project = demo.project()
    home.goto(machine.url + reverse("project", args=[project.pk]))
    newcomer.look()
    made = demo.play(project)
    for name in STEPS:
        expect(home.locator(f"#step-{name} .badge")).to_have_text("done", timeout=PATIENCE)
    assert newcomer.loads == 1
    assert newcomer.seen["labels"][:2] == ["pending", "running"]
    assert {states[0] for states in newcomer.seen.values()} == {
        "pending",
        "done",
    }  # prompts are there
    assert Label.objects.filter(annotator__username="ada").count() == MINE
    assert (
        made.snapshot.manifest["simulated"]["False"] == MINE
    )  # of what the reward model learns from
    assert (
        newcomer.told[-1]
        == f"{machine.url}/p/{project.pk}/runs/{made.parts.get(part='generate').run_id}/"
    )


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_the_whole_demo_is_followed_from_its_first_line(context, tmp_path):
    began = time.monotonic()
    with started(tmp_path, "--port", "0", command="demo", **AS_SHIPPED) as run:
        run.until("(the link works once): ")
        assert time.monotonic() - began < 15
        link = run.said().split("(the link works once): ")[1].split()[0]
        home, other = context.new_page(), context.new_page()
        assert home.goto(link).ok
        assert time.monotonic() - began < 15
        home.get_by_label("Username").fill("ada")
        for number in (1, 2):
            home.locator(f"[name=password{number}]").fill(PASSWORD)
        home.get_by_role("button", name="Create the account").click()
        home.wait_for_url("**/p/1/")
        newcomer = Newcomer(run, home, other)
        while "Next, label" not in run.said():
            newcomer.pause(0.5)
            assert run.process.poll() is None, run.said()
        expect(home.locator(".turn .badge").filter(has_text="done")).to_have_count(len(STEPS))
        assert newcomer.loads == 0  # since it was opened
        assert all({"running", "done"} <= set(newcomer.seen[name]) for name in LONG)
        assert f"{MINE} of them by people" in run.said()
        run.process.send_signal(signal.SIGINT)
        assert run.left() == []
