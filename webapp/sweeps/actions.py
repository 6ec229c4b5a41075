"""What a person may do to a sweep, by where it stands."""

from collections.abc import Callable
from typing import NamedTuple

from django.utils.translation import gettext_noop as _

from webapp.sweeps import services
from webapp.sweeps.models import SweepState
from webapp.sweeps.queries import Board


class SweepAction(NamedTuple):
    """A button: what it says, what it calls, in which states it is there."""

    title: str
    help: str
    service: Callable[..., None]
    states: tuple[SweepState, ...]
    danger: bool = False


GOING = (SweepState.RUNNING, SweepState.PAUSED)
OVER = (SweepState.SUCCEEDED, SweepState.FAILED, SweepState.CANCELLED)
SWEEP_ACTIONS = {
    "resume": SweepAction(
        _("Resume"), _("Go on with what was paused."), services.resume_sweep, (SweepState.PAUSED,)
    ),
    "pause": SweepAction(
        _("Pause"),
        _("Begin no further trial; runs at work save and stop, or end."),
        services.pause_sweep,
        (SweepState.RUNNING,),
    ),
    "retry": SweepAction(
        _("Try the failed again"),
        _("Queue the trials that failed once more, and go on."),
        services.retry_sweep,
        OVER,
    ),
    "cancel": SweepAction(
        _("Cancel the sweep"), _("What has ended stays."), services.cancel_sweep, GOING, danger=True
    ),
}


def sweep_actions(board: Board) -> dict[str, SweepAction]:
    """The actions that make sense now."""
    possible = {
        name: action for name, action in SWEEP_ACTIONS.items() if board.sweep.state in action.states
    }
    cut_short = board.sweep.state == SweepState.CANCELLED and board.ended < board.most
    if not board.lost and not cut_short:
        possible.pop("retry", None)
    return possible
