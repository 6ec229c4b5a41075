"""What people do to sweeps."""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from alignment.seam.settings import Settings
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.projects.models import Project
from webapp.runs.errors import RunError
from webapp.runs.models import FINAL, Run
from webapp.runs.services import cancel_run, pause_run, resume_run, retry_run
from webapp.site.errors import Refusal
from webapp.sweeps.config import SearchConfig
from webapp.sweeps.controller import FEWEST_CURVES, learned_worth, stored
from webapp.sweeps.models import Sweep, SweepInput, SweepState, TrialState
from webapp.sweeps.objectives import Objective
from webapp.sweeps.recordings import recordings_of
from webapp.sweeps.space import Dimension
from webapp.sweeps.trials import advance, record_end_of


class SweepError(Refusal):
    """A sweep cannot be started, or changed as asked."""


class SweepPlan(NamedTuple):
    """A sweep as somebody wants it; `key` makes it one, however often it is asked for."""

    kind: str
    name: str
    config: Settings
    space: tuple[Dimension, ...]
    search: SearchConfig
    objective: Objective
    key: str
    inputs: Mapping[str, Artifact]
    seed: int = 0
    created_by: User | None = None


@transaction.atomic
def start_sweep(project: Project, plan: SweepPlan) -> Sweep:
    """Make a sweep and its first trials. Idempotent by key. Raises SweepError."""
    project = Project.objects.select_for_update().get(pk=project.pk)  # numbers one at a time
    if (known := project.sweeps.filter(idempotency_key=plan.key).first()) is not None:
        return known
    if any(artifact.project_id != project.pk for artifact in plan.inputs.values()):
        raise SweepError(_("What the runs read must belong to this project."))
    last = project.sweeps.aggregate(last=Max("number"))["last"] or 0
    made = Sweep.objects.create(
        project=project,
        number=last + 1,
        name=plan.name,
        kind=plan.kind,
        config=plan.config.model_dump(mode="json"),
        space=[one.model_dump(mode="json") for one in plan.space],
        search=plan.search.model_dump(mode="json"),
        objective=plan.objective.model_dump(mode="json"),
        learned=learned_for(project, plan) if plan.search.method == "learned" else [],
        seed=plan.seed,
        idempotency_key=plan.key,
        created_by=plan.created_by,
    )
    SweepInput.objects.bulk_create(
        SweepInput(sweep=made, role=role, artifact=artifact)
        for role, artifact in plan.inputs.items()
    )
    said = {"kind": made.kind, "name": made.name}
    record_act(Act.SWEEP_STARTED, plan.created_by, project=project.pk, about=made.pk, **said)
    advance(made.pk)
    made.refresh_from_db()
    return made


def learned_for(project: Project, plan: SweepPlan) -> list[list[float]]:
    """What a controller learns of the project's earlier runs of the kind. Raises SweepError where they are too few."""
    found = recordings_of(project, plan.kind, plan.objective, plan.search)
    if len(found.runs) < FEWEST_CURVES:
        raise SweepError(
            _(
                "There are {n} earlier runs of this kind with that number, that curve and steps beyond the first "
                "rung; a controller learns from at least {least}. Take ASHA, or random, first."
            ).format(n=len(found.runs), least=FEWEST_CURVES)
        )
    return stored(learned_worth(found.runs, found.shares, plan.seed))


@transaction.atomic
def pause_sweep(sweep: Sweep, *, by: User) -> None:
    """Begin no further trial, and pause those at work that can save; the others end. Raises SweepError."""
    _move(sweep, (SweepState.RUNNING,), SweepState.PAUSED)
    _record_change(sweep, by, "pause")
    for run in _unfinished(sweep):
        with suppress(RunError):
            pause_run(run, by=by)


@transaction.atomic
def resume_sweep(sweep: Sweep, *, by: User) -> None:
    """Go on with a paused one. Raises SweepError."""
    _move(sweep, (SweepState.PAUSED,), SweepState.RUNNING)
    _record_change(sweep, by, "resume")
    for run in _unfinished(sweep):
        with suppress(RunError):
            resume_run(run, by=by)
    advance(sweep.pk)


@transaction.atomic
def cancel_sweep(sweep: Sweep, *, by: User) -> None:
    """End it and its runs; what has ended stays. Raises SweepError."""
    _move(sweep, (SweepState.RUNNING, SweepState.PAUSED), SweepState.CANCELLED)
    _record_change(sweep, by, "cancel")
    Sweep.objects.filter(pk=sweep.pk).update(ended_at=Now())
    sweep.state = SweepState.CANCELLED
    record_end_of(sweep)
    for run in _unfinished(sweep):
        with suppress(RunError):
            cancel_run(run, by=by)
    advance(sweep.pk)


@transaction.atomic
def retry_sweep(sweep: Sweep, *, by: User) -> None:
    """Queue the trials that failed or were cancelled once more, and go on. Raises SweepError."""
    _move(
        sweep, (SweepState.SUCCEEDED, SweepState.FAILED, SweepState.CANCELLED), SweepState.RUNNING
    )
    _record_change(sweep, by, "retry")
    Sweep.objects.filter(pk=sweep.pk).update(ended_at=None, message="")
    lost = sweep.trials.filter(state=TrialState.FAILED, run__state__in=FINAL)
    for trial in lost.select_related("run"):
        if trial.run is not None:
            trial.run = retry_run(trial.run, by=by)
            trial.state, trial.message = TrialState.OPEN, ""
            trial.rungs.all().delete()
            trial.save(update_fields=["run", "state", "message"])
    advance(sweep.pk)


def _record_change(sweep: Sweep, by: User, what: str) -> None:
    record_act(Act.SWEEP_CHANGED, by, project=sweep.project_id, about=sweep.pk, what=what)


def _move(sweep: Sweep, sources: tuple[SweepState, ...], to: SweepState) -> None:
    """Change its state if it stands where it may; else say where it stands."""
    if not Sweep.objects.filter(pk=sweep.pk, state__in=sources).update(state=to):
        sweep.refresh_from_db()
        raise SweepError(
            _("The sweep is {state}: that cannot be done now.").format(state=_(sweep.state))
        )


def _unfinished(sweep: Sweep) -> list[Run]:
    """Its runs that are not over, the last first, so that nothing starts in between."""
    runs = Run.objects.filter(trial__sweep=sweep).exclude(state__in=FINAL)
    return list(runs.order_by("-pk"))
