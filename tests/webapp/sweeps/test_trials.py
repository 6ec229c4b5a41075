"""How sweeps get on, from rows alone."""

import pytest

from tests.factories import a_run, again, run_at
from tests.webapp.sweeps.conftest import (
    RATES,
    SIDES,
    climb,
    finish,
    finish_all,
    height,
    open_trials,
)
from webapp.runs import services as runs
from webapp.runs.errors import RunError
from webapp.runs.models import Intent, Run, State
from webapp.runs.points import LAST
from webapp.sweeps import trials as turns
from webapp.sweeps.models import Rung
from webapp.sweeps.objectives import Objective
from webapp.sweeps.trials import advance, advance_all, follow

pytestmark = pytest.mark.once

LOSS = Objective(source="curve", key="loss", better="smaller", watched="loss")


def points(sweep):
    return [tuple(trial.values.values()) for trial in sweep.trials.all()]


def states(sweep):
    return [trial.state for trial in sweep.trials.all()]


def test_as_many_trials_begin_as_may_be_at_work(sweep_of):
    sweep = sweep_of(at_once=2)
    assert states(sweep) == ["open", "open"]
    run = open_trials(sweep)[0].run
    assert (run.kind, run.name, run.state) == ("descend", "Descents · 1", "queued")
    assert run.config == {**sweep.config, **open_trials(sweep)[0].values}


def test_a_second_turn_changes_nothing(sweep_of):
    sweep = sweep_of()
    for _ in range(3):
        advance(sweep.pk)
        advance_all()
    assert (Run.objects.count(), len(states(sweep))) == (2, 2)


def test_runs_are_added_as_others_end_until_the_grid_is_through(sweep_of):
    sweep = finish_all(sweep_of())
    assert sorted(points(sweep)) == sorted((r, s) for r in RATES.values for s in SIDES.values)
    assert (sweep.state, sweep.ended_at is not None) == ("succeeded", True)
    assert states(sweep) == ["done"] * 6
    best = sweep.trials.order_by("score").first()
    assert best.values == {"rate": 0.1, "side": "right"}
    assert (best.score, best.low, best.high) == pytest.approx((0, -0.1, 0.1))


def test_a_sweep_ends_with_its_budget_of_trials(sweep_of):
    assert len(points(finish_all(sweep_of(trials=4)))) == 4


@pytest.mark.twice
def test_a_sweep_ends_with_its_budget_of_steps(sweep_of):
    """27 steps each, two at once: after 54 steps there are no more."""
    assert len(points(finish_all(sweep_of(steps=50)))) == 3


def test_settings_that_do_not_go_together_are_told_and_cost_no_run(sweep_of):
    sweep = finish_all(sweep_of(RATES.model_copy(update={"values": (0.1, 6.0)}), SIDES))
    refused = sweep.trials.get(state="refused")
    assert refused.values == {"rate": 6.0, "side": "right"}
    assert refused.message == "the right side is too steep for that rate"
    assert refused.run is None
    assert sorted(states(sweep)) == ["done", "done", "done", "refused"]


def test_where_nothing_goes_together_the_sweep_says_so(sweep_of):
    only = SIDES.model_copy(update={"values": ("right",)})
    sweep = sweep_of(RATES.model_copy(update={"values": (6.0, 7.0)}), only)
    assert (sweep.state, Run.objects.count()) == ("failed", 0)
    assert "too steep" in sweep.message


def fail(trial):
    run_at(trial.run, state=State.FAILED, message="It fell.")
    advance(trial.sweep_id)


@pytest.mark.twice
def test_a_failed_trial_is_counted_and_the_sweep_goes_on(sweep_of):
    sweep = sweep_of()
    fail(open_trials(sweep)[0])
    assert states(sweep) == ["failed", "open", "open"]
    assert sweep.trials.first().message == "It fell."
    assert finish_all(sweep).state == "succeeded"


def test_what_fails_from_the_start_is_not_tried_to_the_end(sweep_of):
    sweep = sweep_of(at_once=1)
    for _ in range(3):
        fail(open_trials(sweep)[0])
    sweep = again(sweep)
    assert (states(sweep), sweep.state) == (["failed"] * 3, "failed")
    assert sweep.message == "It fell."


def test_a_run_without_the_number_has_failed(sweep_of):
    sweep = sweep_of()
    run_at(open_trials(sweep)[0].run, state=State.SUCCEEDED, summary={"words": "down"})
    advance(sweep.pk)
    assert "without the number" in sweep.trials.get(state="failed").message


def test_the_last_point_of_a_curve_is_a_score(sweep_of):
    sweep = sweep_of(objective=LOSS)
    trial = open_trials(sweep)[0]
    run = climb(trial, 27)
    run_at(run, state=State.SUCCEEDED)
    advance(sweep.pk)
    done = sweep.trials.get(state="done")
    assert (done.score, done.low) == (pytest.approx(height(run)), None)


def test_where_there_is_no_room_the_next_turn_tries_again(sweep_of, monkeypatch):
    def no_room():
        raise RunError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(runs, "need_room", no_room)
        sweep = sweep_of()
        assert (sweep.state, states(sweep), sweep.message) == ("running", [], "The disk is full.")
    advance_all()
    sweep = again(sweep)
    assert (states(sweep), sweep.message) == (["open", "open"], "")


@pytest.mark.twice
def test_who_dies_in_a_turn_leaves_nothing_of_it(sweep_of, monkeypatch):
    """Neither a run without its trial nor a trial without its run."""
    sweep = sweep_of()
    finish(open_trials(sweep)[0])

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(turns, "end_sweep", dies)
        with pytest.raises(KeyboardInterrupt):
            advance(sweep.pk)
    assert (Run.objects.count(), states(sweep)) == (2, ["open", "open"])
    advance_all()
    assert (Run.objects.count(), states(sweep)) == (3, ["done", "open", "open"])


ASHA = {"method": "asha", "first_rung": 3, "reduction": 3, "at_once": 3, "trials": 3}


@pytest.fixture
def race(sweep_of):
    """Three trials of ASHA at work, from the best to the worst."""
    sweep = sweep_of(RATES, **ASHA, key="race")
    return sweep, sorted(open_trials(sweep), key=lambda trial: height(trial.run))


def test_whoever_lags_at_a_rung_is_stopped(race):
    sweep, (best, *_others, worst) = race
    for trial in (best, worst):
        climb(trial, 3)
        advance(sweep.pk)
    assert again(best).state == "open"
    assert again(worst).state == "stopped"
    run = again(worst.run)
    assert (run.state, run.intent) == (State.STOPPING, Intent.CANCEL)
    assert list(Rung.objects.values_list("trial__number", "rung", "step")) == [
        (best.number, 0, 3),
        (worst.number, 0, 3),
    ]


@pytest.mark.twice
def test_rungs_are_noted_once_and_in_turn(race):
    sweep, (best, *_) = race
    climb(best, 10)  # past two rungs at once
    for _ in range(2):
        advance(sweep.pk)
    assert list(best.rungs.values_list("rung", "step")) == [(0, 3), (1, 9)]


def noted(sweep, trial, points):
    """What stands for a trial at its first rung, step 3, once its curve has come to step 4."""
    run_at(trial.run, state=State.RUNNING, step=4, total_steps=27)
    for step, value, epoch in points:
        trial.run.metrics.create(key="loss", step=step, epoch=epoch, value=value)
    advance(sweep.pk)
    return trial.rungs.get().value


@pytest.mark.parametrize(
    ("points", "value"),
    [
        (
            [(1, 9.0, 0), (2, 3.0, 0), (3, 5.0, 0), (4, 0.0, 0)],
            4.0,
        ),  # the mean since half of the way
        ([(1, 9.0, 0), (4, 0.0, 0)], 9.0),  # the last before, where there is none since
        ([(4, 6.0, 0)], 6.0),  # the first beyond
        ([(2, 3.0, 0), (3, None, 0), (4, 0.0, 0)], None),  # it diverged
        (
            [(2, 3.0, 0), (3, 5.0, 0), (2, 7.0, 1), (3, 9.0, 1), (4, 0.0, 1)],
            8.0,
        ),  # as it was done last
    ],
)
def test_a_value_at_a_rung(race, points, value):
    sweep, (best, *_) = race
    assert noted(sweep, best, points) == value


def test_a_stopped_trial_that_had_ended_all_the_same_counts(race):
    sweep, (best, *_others, worst) = race
    for trial in (best, worst):
        climb(trial, 3)
        advance(sweep.pk)
    finish(worst)
    advance(sweep.pk)
    assert again(worst).state == "done"


def test_a_race_is_over_when_its_last_run_has_ended(race):
    sweep, (best, other, worst) = race
    for trial in (best, other, worst):
        climb(trial, 3)
        advance(sweep.pk)
    finish(best)
    advance(sweep.pk)
    assert again(sweep).state == "running"  # two are still being stopped
    for trial in (other, worst):
        run_at(trial.run, state=State.CANCELLED)
    advance(sweep.pk)
    assert again(sweep).state == "succeeded"
    assert sorted(states(sweep)) == ["done", "stopped", "stopped"]


def test_a_worker_tells_of_rungs_and_of_the_end(race):
    _sweep, (best, *_) = race
    told = follow(best.run)
    climb(best, 2)
    told(2)
    assert not best.rungs.exists()
    climb(best, 3)
    told(3)
    assert best.rungs.count() == 1
    finish(best)
    told(LAST)
    assert again(best).state == "done"
    told(LAST)


def test_where_nobody_sets_a_first_rung_a_worker_tells_of_a_sixth_of_the_steps(sweep_of):
    first, *_others = open_trials(sweep_of(RATES, method="asha", at_once=3, trials=3))
    told = follow(first.run)
    told(1)  # before anybody knows how many steps there will be
    climb(first, 3)
    told(3)
    assert not first.rungs.exists()
    climb(first, 4)
    told(4)
    assert [(rung.rung, rung.step) for rung in first.rungs.all()] == [(0, 4)]  # of 27


def test_a_sweep_that_cannot_be_read_does_not_hold_up_the_others(sweep_of, caplog):
    broken, fine = sweep_of(), sweep_of(key="other")
    broken.search = {"method": "of another version"}
    broken.save()
    finish(open_trials(fine)[0])
    advance_all()
    assert states(fine) == ["done", "open", "open"]
    assert f"Sweep {broken.pk} could not get on" in caplog.text


def test_a_run_of_no_sweep_is_not_followed(project):
    assert follow(a_run(project)) is None
