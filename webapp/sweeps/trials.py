"""How a sweep gets on: what has ended is counted, what lags is stopped, and what comes next is added.

All of it happens in one transaction that holds the sweep's row, and is read from rows alone: whoever dies
leaves everything or nothing of a turn, and whoever comes next goes on from there.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from django.db import DatabaseError, transaction
from django.db.models import Q, Sum
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import ValidationError

from alignment.kinds import KINDS
from alignment.seam.settings import Settings
from webapp.artifacts.models import Artifact
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.launch.checks import Asked, refusals
from webapp.runs.errors import RunError
from webapp.runs.models import Run
from webapp.runs.models import State as RunState
from webapp.runs.points import LAST
from webapp.runs.services import Order, cancel_run, start_run
from webapp.sweeps.config import SearchConfig
from webapp.sweeps.controller import controlled, restored
from webapp.sweeps.models import Rung, Sweep, SweepState, Trial, TrialState
from webapp.sweeps.objectives import Objective, has_come_to, height_at, read_score
from webapp.sweeps.space import AtRung, Dimension, Tried, Value, grid_size, is_listed

SEARCHER = "webapp.sweeps.search.Searcher"  # loaded where a trial is chosen: optuna is large
HOPELESS = 3  # trials that failed before any went well
NO_NUMBER = _("Its run ended without the number that is searched for.")
ALL_REFUSED = _("No combination of these settings goes together.")

logger = logging.getLogger(__name__)


def follow(run: Run) -> Callable[[int], object] | None:
    """What wants to be told how far a run is and that it has ended, where it is a trial's."""
    trial = Trial.objects.filter(run=run).select_related("sweep").first()
    if trial is None:
        return None
    search, total, reached = search_of(trial.sweep), 0, 0

    def told(step: int) -> None:
        nonlocal total, reached
        if search.stops_early and not total:
            total = Run.objects.values_list("total_steps", flat=True).get(pk=run.pk)
        if any(reached < rung <= step for rung in (*search.rungs(total), LAST)):
            reached = step
            advance(trial.sweep_id)

    return told


def advance_all() -> int:
    """A turn of every sweep of which something may be due; how many."""
    due = Sweep.objects.filter(Q(state=SweepState.RUNNING) | Q(trials__state=TrialState.OPEN))
    keys = set(due.order_by().values_list("pk", flat=True))
    for key in sorted(keys):
        try:
            advance(key)
        except (DatabaseError, OSError):
            raise  # tend knows what to make of these
        except Exception:  # one that this version cannot read must not hold up the others
            logger.exception("Sweep %s could not get on.", key)
    return len(keys)


@transaction.atomic
def advance(sweep_id: int) -> None:
    """Do what is due; a second time changes nothing."""
    sweep = Sweep.objects.select_for_update().get(pk=sweep_id)
    trials = list(sweep.trials.select_related("run"))
    if sweep.state == SweepState.RUNNING:
        compare_trials(sweep, trials)
    settle_trials(sweep, trials)
    if sweep.state == SweepState.RUNNING:
        add_trials(sweep, trials)
        end_sweep(sweep, trials)


def search_of(sweep: Sweep) -> SearchConfig:
    """How it searches."""
    return SearchConfig.stored(sweep.search)


def space_of(sweep: Sweep) -> list[Dimension]:
    """What it varies."""
    return [Dimension.model_validate(one) for one in sweep.space]


def objective_of(sweep: Sweep) -> Objective:
    """What it searches for."""
    return Objective.model_validate(sweep.objective)


def compare_trials(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Note who has come to a rung, and stop whoever is not among the best there."""
    search, objective = search_of(sweep), objective_of(sweep)
    for trial in trials:
        is_open = trial.state == TrialState.OPEN
        if is_open and trial.run and not _climbs(sweep, trial, trial.run, search, objective):
            _stop(trial, trial.run)


def _climbs(
    sweep: Sweep, trial: Trial, run: Run, search: SearchConfig, objective: Objective
) -> bool:
    """Note the rungs that a trial has come to since; whether it may go on."""
    known = trial.rungs.count()
    for rung, step in list(enumerate(search.rungs(run.total_steps)))[known:]:
        if not has_come_to(run, objective.watched, step):
            return True
        value = height_at(run, objective.watched, step)
        Rung.objects.create(trial=trial, rung=rung, step=step, value=value)
        if not _goes_on(sweep, search, objective):
            return False
    return True


def _goes_on(sweep: Sweep, search: SearchConfig, objective: Objective) -> bool:
    """Whether the newest arrival at a rung is among the best of it."""
    rows = Rung.objects.filter(trial__sweep=sweep).order_by("pk")
    arrivals = [AtRung(*row) for row in rows.values_list("trial__number", "rung", "value")]
    if search.method == "learned":
        return controlled(restored(sweep.learned), arrivals, larger=objective.watched_larger)
    searcher = import_string(SEARCHER)(space_of(sweep), search, objective.watched_larger, 0)
    going: bool = searcher.goes_on(arrivals)
    return going


def _stop(trial: Trial, run: Run) -> None:
    """End a trial's run early; one that is over already is counted as it ended."""
    with suppress(RunError):
        trial.run = cancel_run(run, by=None)
        _write(trial, TrialState.STOPPED)


def settle_trials(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Count what has ended."""
    objective = objective_of(sweep)
    for trial in trials:
        waiting = trial.state in (TrialState.OPEN, TrialState.STOPPED)
        if waiting and trial.run and trial.run.is_final:
            _settle(trial, trial.run, objective)


def _settle(trial: Trial, run: Run, objective: Objective) -> None:
    score = read_score(run, objective) if run.state == RunState.SUCCEEDED else None
    if score is not None:
        trial.score, trial.low, trial.high = score
        _write(trial, TrialState.DONE)
    elif trial.state == TrialState.OPEN:
        trial.message = NO_NUMBER if run.state == RunState.SUCCEEDED else run.message
        _write(trial, TrialState.FAILED)


def _write(trial: Trial, state: TrialState) -> None:
    trial.state = state
    trial.save(update_fields=["state", "message", "score", "low", "high"])


def add_trials(sweep: Sweep, trials: list[Trial]) -> None:
    """Begin as many trials as may be at work; where one cannot be queued now, the next turn tries again."""
    said = ""
    try:
        while wants_more(sweep, trials) and at_work(trials) < search_of(sweep).at_once:
            trials.append(add_trial(sweep, trials))
    except RunError as refusal:
        said = str(refusal)
    if said != sweep.message:
        sweep.message = said
        sweep.save(update_fields=["message"])


def at_work(trials: Sequence[Trial]) -> int:
    """How many are queued or being computed."""
    return sum(trial.state == TrialState.OPEN for trial in trials)


def wants_more(sweep: Sweep, trials: Sequence[Trial]) -> bool:
    """Whether the budget has room for another trial, and there is hope."""
    search = search_of(sweep)
    states = [trial.state for trial in trials]
    failed = states.count(TrialState.FAILED)
    if failed >= HOPELESS and not {TrialState.DONE, TrialState.STOPPED} & {*states}:
        return False
    if search.steps and steps_done(sweep) >= search.steps:
        return False
    return len(trials) < most_trials(search, space_of(sweep))


def most_trials(search: SearchConfig, space: Sequence[Dimension]) -> int:
    """How many trials there will be, if nothing else ends the sweep: no point of a list is tried twice."""
    listed = is_listed(search.method, space)
    return min(search.trials, grid_size(space)) if listed else search.trials


def steps_done(sweep: Sweep) -> int:
    """Steps of all its runs together."""
    return Run.objects.filter(trial__sweep=sweep).aggregate(all=Sum("step"))["all"] or 0


def add_trial(sweep: Sweep, trials: Sequence[Trial]) -> Trial:
    """The next point, with a run of its own unless its settings do not go together. Raises RunError."""
    number, values = len(trials), next_point(sweep, trials)
    inputs = {row.role: row.artifact for row in sweep.inputs.select_related("artifact")}
    made = Trial(sweep=sweep, number=number, values=values)
    config, made.message = config_with(sweep, values, inputs)
    if config is None:
        made.state = TrialState.REFUSED
    else:
        made.run = start_run(sweep.project, _order(sweep, number, config, inputs))
    made.save()
    return made


def _order(sweep: Sweep, number: int, config: Settings, inputs: dict[str, Artifact]) -> Order:
    read = [one.role for one in KINDS[sweep.kind].artifacts_read(config)]
    return Order(
        kind=sweep.kind,
        name=f"{sweep.name[:110]} · {number + 1}",
        config=config,
        key=f"sweep-{sweep.pk}-{number}",
        seed=sweep.seed,
        inputs={role: inputs[role] for role in read if role in inputs},
        created_by=sweep.created_by,
    )


def next_point(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Value]:
    """What the method proposes after these trials."""
    lost = (TrialState.FAILED, TrialState.REFUSED)
    tried = [Tried(one.values, one.score, one.state in lost) for one in trials]
    larger = objective_of(sweep).larger
    searcher = import_string(SEARCHER)(space_of(sweep), search_of(sweep), larger, sweep.seed)
    found: dict[str, Value] = searcher.propose(tried)
    return found


def config_with(
    sweep: Sweep, values: dict[str, Value], inputs: dict[str, Artifact]
) -> tuple[Settings | None, str]:
    """The settings of a trial; none, and why, where they do not go together."""
    try:
        config = KINDS[sweep.kind].settings.model_validate({**sweep.config, **values})
    except ValidationError as error:
        return None, error.errors()[0]["msg"].removeprefix("Value error, ")
    for role in KINDS[sweep.kind].roles(config):
        if role not in inputs and not KINDS[sweep.kind].input_named(role).spared:
            return None, gettext("This run needs to be told its {role}.").format(role=role)
    for _field, text in refusals(Asked(config, inputs), section=sweep.kind):
        return None, text
    return config, ""


def end_sweep(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Say that it is over once nothing is at work and nothing more is wanted."""
    working = [one for one in trials if one.run and not one.run.is_final]
    if working or at_work(trials) or wants_more(sweep, trials):
        return
    good = any(one.state == TrialState.DONE for one in trials)
    last = next((one.message for one in reversed(trials) if one.message), ALL_REFUSED)
    sweep.state = SweepState.SUCCEEDED if good else SweepState.FAILED
    sweep.message = "" if good else last
    Sweep.objects.filter(pk=sweep.pk).update(
        state=sweep.state, message=sweep.message, ended_at=Now()
    )
    record_end_of(sweep)


def record_end_of(sweep: Sweep) -> None:
    """Tell the audit log of a sweep that is over."""
    said = {"name": sweep.name, "state": str(sweep.state)}
    record_act(Act.SWEEP_ENDED, None, project=sweep.project_id, about=sweep.pk, **said)
