"""Sweeps of the toy descent, whose runs a test ends as a worker would."""

import pytest

from alignment.kinds import KINDS
from tests.factories import a_sweep, again, run_at
from tests.toys.runs.descend import KIND
from tests.toys.runs.descend.run import floor_of
from webapp.runs.models import RunMetric, State
from webapp.sweeps.objectives import Objective
from webapp.sweeps.space import Dimension
from webapp.sweeps.trials import advance

RATES = Dimension(name="rate", values=(0.01, 0.1, 1.0))
SIDES = Dimension(name="side", values=("left", "right"))
DEPTH = Objective(source="result", key="depth", better="smaller", watched="loss")


@pytest.fixture(autouse=True)
def descent(monkeypatch):
    monkeypatch.setitem(KINDS, KIND.name, KIND)


@pytest.fixture
def sweep_of(project, researcher):
    """Start a sweep of the descent; what is said of the search replaces the usual."""

    def start(*space, objective=DEPTH, key="first", config=None, **search):
        return a_sweep(
            project,
            *(space or (RATES, SIDES)),
            kind="descend",
            name="Descents",
            config=config,
            search={"method": "grid", "at_once": 2} | search,
            objective=objective,
            key=key,
            created_by=researcher,
        )

    return start


def open_trials(sweep):
    return list(sweep.trials.filter(state="open").select_related("run"))


def climb(trial, step):
    """Its run has done so many steps."""
    run = run_at(trial.run, state=State.RUNNING, step=step, total_steps=27)
    RunMetric.objects.create(run=run, key="loss", step=step, epoch=0, value=height(run))
    return run


def height(run):
    return floor_of(KIND.settings(**run.config))


def finish(trial):
    """Its run has succeeded."""
    depth = height(trial.run)
    found = {"depth": {"value": depth, "low": depth - 0.1, "high": depth + 0.1, "n": 9}}
    run_at(trial.run, state=State.SUCCEEDED, step=27, total_steps=27, summary=found)


def finish_all(sweep):
    """Run after run ends well, until nothing is left to do."""
    for _ in range(100):
        if not (left := open_trials(sweep)):
            return again(sweep)
        finish(left[0])
        advance(sweep.pk)
    raise AssertionError("it never ends")
