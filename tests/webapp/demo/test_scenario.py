"""The demo's steps: each does only what is not yet done, and says what came of it."""

import sys

import pytest
from rich.console import Console

from tests.factories import a_run, a_user, an_artifact, run_at
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.demo import scenario
from webapp.demo.progress import TerminalReporter
from webapp.demo.scenario import ANNOTATORS, STARTER, Demo, DemoError, simulated_logins
from webapp.runs.models import Run, State

pytestmark = pytest.mark.django_db


class Machine:
    """A stack whose work is done while the demo waits, as a row says."""

    def __init__(self, state):
        self.state, self.waits, self.url = state, 0, "http://127.0.0.1:8000"

    def check(self):
        """All programs are well."""

    def start_wanted(self):
        """Nobody talks with a model."""

    def pause(self, seconds):
        self.waits += 1
        for run in Run.objects.exclude(state=self.state):
            run_at(run, state=self.state, summary={"parameters": 1234})


class Listener:
    """A reporter that remembers what came of each step."""

    def __init__(self):
        self.said = []

    def step(self, title):
        self.title = title

    def progress(self, done, total, note=""):
        """It moved on."""

    def done(self, note, page):
        self.said.append(f"{self.title}: {note} {page}")


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.setattr(scenario, "PROMPTS", 12)
    return Demo(Machine(State.SUCCEEDED), Listener())


@pytest.mark.once
def test_a_terminal_is_told_each_step_with_its_time(capfd):
    reporter = TerminalReporter()
    reporter.console = Console(file=sys.stderr, highlight=False)
    with reporter:
        reporter.step("Starter model, from scratch")
        reporter.progress(1, 2, "training")
        reporter.done("1,234 parameters", "http://127.0.0.1:8000/p/1/models/1/")
    line = (
        "Starter model, from scratch: 1,234 parameters (0.0 s)  http://127.0.0.1:8000/p/1/models/1/"
    )
    assert line in capfd.readouterr().err.splitlines()  # whole, however narrow the terminal


def test_the_project_is_made_once(demo):
    first, second = demo.project(), demo.project()
    assert first == second
    assert first.prompts.count() == 12
    line = f"Project and prompts: 12 prompts http://127.0.0.1:8000/p/{first.pk}/prompts/"
    assert demo.reporter.said == [line] * 2


def test_the_starter_is_trained_once(demo, var):
    project = demo.project()
    run = a_run(project, "pretrain", key="demo-pretrain-0")
    model = an_artifact(project, var, type=Artifact.Type.MODEL, producer=run)
    for _ in range(2):
        assert demo.starter(demo.begin(project, STARTER)) == model
    assert Run.objects.count() == 1
    assert demo.stack.waits == 1


@pytest.mark.once
def test_what_failed_is_tried_anew(demo):
    project = demo.project()
    run_at(a_run(project, "pretrain", key="demo-pretrain-0"), state=State.FAILED)
    demo.stack = Machine(State.FAILED)
    with pytest.raises(DemoError, match=r"(?s)Starter model failed.*/runs/.*Start the demo again"):
        demo.starter(demo.begin(project, STARTER))
    keys = Run.objects.order_by("pk").values_list("idempotency_key", flat=True)
    assert list(keys) == ["demo-pretrain-0", "demo-pretrain-1"]


@pytest.mark.once
def test_simulated_people_get_new_passwords_and_keep_their_accounts(demo):
    project = demo.project()
    first, second = simulated_logins(project), simulated_logins(project)
    assert User.objects.filter(simulated=True).count() == ANNOTATORS
    assert {one.password for one in first}.isdisjoint(one.password for one in second)
    person = User.objects.get(username=second[0].username)
    assert person.check_password(second[0].password)
    assert not a_user(project).simulated
