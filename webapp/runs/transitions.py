"""Changes of a run's state: compare-and-set, each with its event row."""

from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.notifications.models import Occasion
from webapp.notifications.services import News, notify
from webapp.runs.models import FINAL, LIVE, Run, RunEvent, State

TOLD = (State.SUCCEEDED, State.FAILED)  # whoever cancels a run knows


@dataclass(frozen=True)
class Change:
    """A move to a state, allowed from some; reason is a word, message a sentence for people."""

    sources: tuple[State, ...]
    to: State
    actor: str
    reason: str = ""
    message: str = ""


@transaction.atomic
def move(run: Run, change: Change, *, only: Q | None = None, **columns: object) -> bool:
    """Make the change if the run stands where it may start; whether it did."""
    columns |= {"state": change.to, "reason": change.reason, "message": change.message}
    if change.to in FINAL:
        columns["ended_at"] = Now()
    if change.to not in LIVE:
        columns["lease_until"] = None
    for source in change.sources:
        standing = Run.objects.filter(only or Q(), pk=run.pk, state=source)
        if standing.update(**columns):
            note(run, change, source)
            if change.to in TOLD:
                transaction.on_commit(partial(_tell, run.pk))
            if change.to in FINAL:
                record_run(Act.RUN_ENDED, run, None, state=change.to.value)
            return True
    return False


def _tell(run_id: int) -> None:
    """Tell whoever started the run that it has ended; the trials of a sweep are told of by its page."""
    alone = Run.objects.filter(pk=run_id, trial__isnull=True, created_by__isnull=False)
    for run in alone.only("project", "name", "state", "created_by"):
        url = reverse("runs:detail", args=[run.project_id, run.pk])
        notify(
            [run.created_by_id], News(run.project_id, Occasion.RUN, run.name, url, str(run.state))
        )


def note(run: Run, change: Change, source: State | str) -> None:
    """Append the event row of a change that was made."""
    epoch, step = Run.objects.values_list("epoch", "step").get(pk=run.pk)
    RunEvent.objects.create(
        run_id=run.pk,
        actor=change.actor,
        epoch=epoch,
        step=step,
        from_state=source,
        to_state=change.to,
        reason=change.reason,
        message=change.message,
    )


def record_run(act: Act, run: Run, by: User | None, **facts: str) -> None:
    """Tell the audit log what was done to a run, or came of it."""
    said = {"kind": run.kind, "name": run.name} | facts
    record_act(act, by, project=run.project_id, about=run.pk, **said)
