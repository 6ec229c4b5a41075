"""What a person may do to a run, by the state it is in."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from django.utils.translation import gettext_noop as _

from alignment.kinds import KINDS
from webapp.runs import checkpoints, services
from webapp.runs.models import FINAL, Intent, Run, State


def always(_run: Run) -> bool:
    """Whatever run it is."""
    return True


class _Action(NamedTuple):
    """A button: what it says, what it calls, where it makes sense."""

    title: str
    help: str
    service: Callable[..., Run]
    states: Collection[State]
    danger: bool = False
    where: Callable[[Run], bool] = always  # of the runs in such a state


WORKING = (State.STARTING, State.RUNNING)
ACTIONS = {
    "resume": _Action(
        _("Resume"), _("Go on from the last checkpoint."), services.resume_run, (State.INTERRUPTED,)
    ),
    "pause": _Action(
        _("Pause"), _("Save, then stop."), services.pause_run, (State.QUEUED, *WORKING)
    ),
    "evaluate": _Action(
        _("Evaluate the checkpoint"),
        _("Another worker keeps the newest one as a model and evaluates it."),
        checkpoints.evaluate_checkpoint,
        (State.RUNNING, State.INTERRUPTED, State.FAILED, State.CANCELLED),
        where=checkpoints.has_checkpoint,
    ),
    "retry": _Action(
        _("Try again"),
        _("Queue a new run with the same settings."),
        services.retry_run,
        (State.FAILED, State.CANCELLED),
    ),
    "cancel": _Action(
        _("Cancel"),
        _("Stop without a result."),
        services.cancel_run,
        (State.QUEUED, State.INTERRUPTED, State.STOPPING, *WORKING),
        danger=True,
    ),
}


def actions_for(run: Run) -> dict[str, _Action]:
    """The actions that make sense for this run now."""
    possible = {
        name: action
        for name, action in ACTIONS.items()
        if run.state in action.states and action.where(run)
    }
    if run.intent == Intent.CANCEL and run.state not in FINAL:
        possible.pop("cancel", None)
    if run.state in WORKING and not KINDS[run.kind].can_save(run.config):
        possible.pop("pause", None)
    return possible
