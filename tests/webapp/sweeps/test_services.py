import math

import pytest

from tests.factories import a_project, a_run, again, an_artifact, run_at
from tests.toys.runs.descend import KIND
from tests.toys.runs.descend.run import floor_of
from tests.webapp.sweeps.conftest import RATES, climb, finish_all, height, open_trials
from webapp.audit.models import AuditEntry
from webapp.runs.models import Intent, Run, RunMetric, State
from webapp.sweeps.controller import restored
from webapp.sweeps.services import (
    SweepError,
    SweepPlan,
    cancel_sweep,
    pause_sweep,
    resume_sweep,
    retry_sweep,
    start_sweep,
)
from webapp.sweeps.trials import advance

pytestmark = pytest.mark.once


def run_states(sweep):
    return [trial.run.state for trial in sweep.trials.select_related("run")]


@pytest.mark.twice
def test_the_same_key_starts_one_sweep(sweep_of, project):
    first = sweep_of()
    assert sweep_of() == first
    assert (project.sweeps.count(), Run.objects.count()) == (1, 2)
    assert sweep_of(key="other").number == 2


def test_what_another_project_has_is_refused(sweep_of, project, var):
    sweep = sweep_of()
    foreign = an_artifact(a_project(), var)
    plan = SweepPlan(
        kind="descend", name="x", config=None, space=(), search=None, objective=None, key="x",
        inputs={"policy": foreign},
    )  # fmt: skip
    with pytest.raises(SweepError, match="belong to this project"):
        start_sweep(sweep.project, plan)


def test_a_paused_sweep_begins_nothing_until_it_is_resumed(sweep_of, researcher):
    sweep = sweep_of()
    first, second = open_trials(sweep)
    climb(first, 5)  # this kind cannot save: it ends
    pause_sweep(sweep, by=researcher)
    assert run_states(sweep) == [State.RUNNING, State.INTERRUPTED]
    run_at(first.run, state=State.SUCCEEDED, summary={"depth": {"value": 1.0}})
    advance(sweep.pk)
    assert (again(sweep).state, again(first).state) == ("paused", "done")
    assert run_states(sweep) == [State.SUCCEEDED, State.INTERRUPTED]
    resume_sweep(sweep, by=researcher)
    assert run_states(sweep) == [State.SUCCEEDED, State.QUEUED, State.QUEUED]
    assert again(second.run).intent == Intent.RUN
    assert finish_all(sweep).state == "succeeded"


def test_cancelling_ends_all_and_keeps_what_is_done(sweep_of, researcher):
    sweep = sweep_of()
    first, second = open_trials(sweep)
    climb(first, 5)
    cancel_sweep(sweep, by=researcher)
    told = AuditEntry.objects.filter(thing="sweep", number=sweep.pk).order_by("pk")
    assert [row.act for row in told] == ["sweep.started", "sweep.changed", "sweep.ended"]
    assert run_states(sweep) == [State.STOPPING, State.CANCELLED]
    run_at(first.run, state=State.CANCELLED)
    advance(sweep.pk)
    assert [again(one).state for one in (first, second)] == ["failed", "failed"]
    assert (again(sweep).state, Run.objects.count()) == ("cancelled", 2)
    assert again(sweep).ended_at is not None


def test_what_failed_is_tried_again(sweep_of, researcher):
    sweep = sweep_of(at_once=1)
    run_at(open_trials(sweep)[0].run, state=State.FAILED)
    advance(sweep.pk)
    sweep = finish_all(sweep)
    lost = sweep.trials.get(state="failed")
    retry_sweep(sweep, by=researcher)
    assert (again(sweep).state, again(sweep).ended_at) == ("running", None)
    anew = again(lost)
    assert (anew.state, anew.run.parent) == ("open", lost.run)
    assert finish_all(sweep).state == "succeeded"
    assert not sweep.trials.exclude(state="done").exists()


@pytest.mark.twice
def test_a_trial_that_is_tried_again_comes_to_its_rungs_again(sweep_of, researcher):
    sweep = sweep_of(RATES, method="asha", first_rung=3, reduction=3, at_once=1, trials=1)
    (trial,) = open_trials(sweep)
    climb(trial, 3)
    advance(sweep.pk)
    run_at(trial.run, state=State.FAILED)
    advance(sweep.pk)
    retry_sweep(sweep, by=researcher)
    climb(again(trial), 9)
    advance(sweep.pk)
    assert [(rung.rung, rung.step) for rung in trial.rungs.all()] == [(0, 3), (1, 9)]


@pytest.mark.parametrize("service", [pause_sweep, cancel_sweep, resume_sweep])
def test_what_is_over_cannot_be_changed(sweep_of, researcher, service):
    sweep = finish_all(sweep_of())
    with pytest.raises(SweepError, match="succeeded"):
        service(sweep, by=researcher)


def test_what_is_running_cannot_be_retried_or_resumed(sweep_of, researcher):
    sweep = sweep_of()
    for service in (retry_sweep, resume_sweep):
        with pytest.raises(SweepError, match="running"):
            service(sweep, by=researcher)


LEARNED = {"method": "learned", "first_rung": 3, "reduction": 3, "at_once": 2, "trials": 4}


def test_a_controller_needs_earlier_runs(sweep_of, project):
    with pytest.raises(SweepError, match="There are 0 earlier runs"):
        sweep_of(**LEARNED)
    assert not project.sweeps.exists()


def test_a_controller_learns_from_the_project_s_runs_and_stops_what_lags(sweep_of, project):
    """Eight runs whose loss fell to what their rate and side let it fall to."""
    rates = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
    for rate in rates:
        run = a_run(project, "descend", {"rate": rate})
        depth = floor_of(KIND.settings(rate=rate))
        RunMetric.objects.bulk_create(
            RunMetric(run=run, key="loss", step=step, epoch=0, value=depth + math.exp(-step / 5))
            for step in (1, 3, 9, 27)
        )
        found = {"depth": {"value": depth, "low": depth, "high": depth}}
        run_at(run, state=State.SUCCEEDED, total_steps=27, summary=found)
    sweep = sweep_of(RATES, **LEARNED)
    worth = restored(sweep.learned)
    assert worth[0, 0, 0] > 0 > worth[0, 3, 0]
    best, worst = sorted(open_trials(sweep), key=lambda trial: height(trial.run))
    for trial in (best, worst):
        climb(trial, 3)
        advance(sweep.pk)
    assert (again(best).state, again(worst).state) == ("open", "stopped")
