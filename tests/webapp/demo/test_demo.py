"""`manage.py demo`: what it says first, and what it does where a step fails."""

from contextlib import nullcontext
from io import StringIO

import pytest

from tests.webapp.demo.test_scenario import Machine
from webapp.demo import scenario
from webapp.demo.management.commands.demo import Command
from webapp.demo.scenario import DemoError
from webapp.machine.keeper import StackError
from webapp.runs.models import Run, State

pytestmark = pytest.mark.django_db


class Ending(Machine):
    """A stack whose runs end so, and that is gone a while after the first has."""

    def check(self):
        if Run.objects.filter(state=self.state).exists() and self.waits > 1:
            raise StackError("the web ended")


@pytest.fixture
def out(monkeypatch):
    monkeypatch.setattr(scenario, "PROMPTS", 12)
    monkeypatch.setattr(scenario, "signed_in", lambda *_: nullcontext([]))  # there is no web
    return StringIO()


@pytest.mark.once
def test_a_step_that_failed_says_what_to_try_and_leaves_the_dashboard(out, capfd):
    with pytest.raises(StackError, match="the web ended"):  # until then it stayed
        Command(stdout=out)._play(Ending(State.FAILED), once=False)
    first, *_, last = out.getvalue().strip().splitlines()
    assert first == "Attune is on http://127.0.0.1:8000 (Ctrl-C ends it)"
    assert "the link works once): http://127.0.0.1:8000/setup/" in out.getvalue()
    assert "Starter model failed: its log says why" in out.getvalue()
    assert "Start the demo again" in out.getvalue()
    assert last == "The dashboard stays until Ctrl-C."
    assert "Watch its steps" in capfd.readouterr().err


def test_once_a_step_that_failed_ends_it_and_nothing_but_figures_is_printed(out, capfd):
    with pytest.raises(DemoError, match="Starter model failed"):
        Command(stdout=out)._play(Ending(State.FAILED), once=True)
    assert out.getvalue() == ""
    assert "the link works once" in capfd.readouterr().err
