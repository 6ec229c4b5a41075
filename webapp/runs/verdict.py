"""What a trainer's end means for its run: one table, no database."""

import signal
from collections.abc import Mapping
from typing import NamedTuple

from django.utils.translation import gettext_noop as _

from alignment.seam import memory_use
from alignment.seam.errors import FULL_DISK
from alignment.seam.events import Failed, Finished, Stopped
from webapp.runs.models import Intent, State
from webapp.runs.supervisor import Outcome

DISK_FULL = ("No space left on device", "Disk quota exceeded")
DISK_IS_FULL = _("The disk is full. Free some space; the run goes on by itself.")
NOT_AGAIN = _(
    "It is not tried again where there is no more memory: a larger worker takes it by itself, or resume it."
)
ADVICE = {
    "oom": _("Try a smaller batch or shorter completions."),
    "nan": _("Try a lower learning rate."),
}


class Verdict(NamedTuple):
    """The state a run ends this epoch in, with a word and a sentence why."""

    to: State
    reason: str
    message: str


def judge(
    outcome: Outcome, intent: str, run_id: int, config: Mapping[str, object] | None = None
) -> Verdict:
    """Weigh what the trainer said last against what people want of the run by now."""
    if intent == Intent.CANCEL:
        return Verdict(State.CANCELLED, "cancelled", _("Cancelled before it was over."))
    if _starved(outcome):
        text = f"{memory_use.told(outcome.squeeze, config or {})} {NOT_AGAIN}"
        return Verdict(State.INTERRUPTED, "memory", text)
    match outcome.last:
        case Finished():  # said once the output is complete: whatever came after does not matter
            return Verdict(State.SUCCEEDED, "", "")
        case Failed() as failed:
            return _failed(failed, run_id)
    if outcome.returncode == FULL_DISK:
        return Verdict(State.INTERRUPTED, "disk_full", DISK_IS_FULL)
    if outcome.asked:
        return _stopped(outcome, intent)
    if outcome.returncode < 0:
        return _killed(outcome)
    text = _("The trainer ended with status {returncode} and no word why; see its log.").format(
        returncode=outcome.returncode
    )
    return Verdict(State.FAILED, "code", text)


def _starved(outcome: Outcome) -> bool:
    """Whether the system ended the trainer, or one of its processes, because memory ran out."""
    if not outcome.squeeze.fatal or outcome.forced or outcome.asked:
        return False
    match outcome.last:
        case Finished():
            return False
        case Failed() as failed:  # of several processes one was ended, and another said so
            return failed.code == "bug" and outcome.squeeze.killed
    return outcome.returncode == -signal.SIGKILL or outcome.squeeze.killed


def _failed(failed: Failed, run_id: int) -> Verdict:
    if any(words in failed.message for words in DISK_FULL):
        return Verdict(State.INTERRUPTED, "disk_full", DISK_IS_FULL)
    if failed.code == "bug":
        return Verdict(
            State.FAILED,
            "code",
            _("Unexpected error; see the log of run {run_id}.").format(run_id=run_id),
        )
    return Verdict(State.FAILED, failed.code[:32], failed.message or ADVICE.get(failed.code, ""))


def _stopped(outcome: Outcome, intent: str) -> Verdict:
    if intent != Intent.PAUSE:
        text = _("Its worker was shut down; it goes on when a worker is back.")
        return Verdict(State.INTERRUPTED, "shutdown", text)
    if not outcome.began:
        return Verdict(State.INTERRUPTED, "paused", _("Paused before it had begun."))
    if isinstance(outcome.last, Stopped) and outcome.last.saved:
        text = _("Paused after step {step}; resume goes on from there.").format(
            step=outcome.last.step
        )
        return Verdict(State.INTERRUPTED, "paused", text)
    text = _(
        "Stopped, but the last steps could not be saved; resume goes on from an earlier checkpoint."
    )
    return Verdict(State.INTERRUPTED, "pause_save_failed", text)


def _killed(outcome: Outcome) -> Verdict:
    name = signal.Signals(-outcome.returncode).name
    text = f"The trainer was killed by {name}"
    room, most = (size / memory_use.GIB for size in outcome.squeeze[:2])
    if -outcome.returncode == signal.SIGKILL and most:
        text += f"; it held {most:.1f} of {room:.1f} GiB of memory"
    return Verdict(State.INTERRUPTED, "trainer_lost", f"{text}.")
