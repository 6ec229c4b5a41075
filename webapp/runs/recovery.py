"""Runs whose worker is gone are taken back and queued again, by whoever tends or starts.

All changes are compare-and-set, so that several may do it at once and a missed turn is harmless.
"""

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext_noop as _

from webapp.machine import disk, processes
from webapp.queue.leases import SILENT
from webapp.runs import keeping, waiting
from webapp.runs.models import Intent, Run, RunEvent, State
from webapp.runs.transitions import Change, move
from webapp.site.clock import after

ACTOR = "tend"
AUTOMATIC = ("worker_lost", "trainer_lost", "shutdown", "disk_full", "memory")
LOST = _(
    "Its worker went silent for {lease:.0f} s: it was stopped, lost the database, or its "
    "machine slept."
)
GONE = _("Its worker ended in the middle of it: it was killed, or crashed.")


def recover() -> int:
    """Take back what its worker has certainly left, and queue it again; how many were taken back."""
    taken = reap()
    requeue()
    return taken


def reap() -> int:
    """Take back runs whose lease ran out by the database's clock or whose worker has ended; how many."""
    silent = LOST.format(lease=settings.RUN_LEASE)
    taken = sum(_take_back(run, silent, SILENT) for run in Run.objects.silent())
    live = Run.objects.live().select_related("worker")
    return taken + sum(_take_back(run, GONE, Q()) for run in live if _is_left(run))


def requeue() -> int:
    """Queue what was interrupted through no wish of its own; what keeps dying fails as poison."""
    lost = Run.objects.filter(state=State.INTERRUPTED, reason__in=AUTOMATIC)
    return sum(_requeue(run) for run in lost)


def _is_left(run: Run) -> bool:
    """Whether the process that took the run has certainly ended; who took it later is another's epoch."""
    held = (run.worker.hardware if run.worker else {}).get("holds", {})
    mine = (held.get("run"), held.get("epoch")) == (run.pk, run.epoch)
    return mine and processes.has_ended(held["process"])


def _take_back(run: Run, text: str, only: Q) -> bool:
    if run.state == State.STOPPING and run.intent == Intent.CANCEL:
        said = _("Cancelled; its worker was gone.")
        change = Change((State.STOPPING,), State.CANCELLED, ACTOR, "cancelled", said)
    elif run.state == State.STOPPING:
        said = _(
            "Its worker was gone before it had saved; resume goes on from an earlier checkpoint."
        )
        change = Change((State.STOPPING,), State.INTERRUPTED, ACTOR, "pause_save_failed", said)
    else:
        working = (State.STARTING, State.RUNNING)
        change = Change(working, State.INTERRUPTED, ACTOR, "worker_lost", text)
    return move(run, change, only=only & Q(epoch=run.epoch, intent=run.intent))


def _requeue(run: Run) -> bool:
    if run.reason == "disk_full" and not keeping.has_room(run):
        return False
    if run.reason == "memory" and not waiting.has_larger_worker(run):
        return False
    if disk.has_no_room():  # another attempt would be lost for nothing
        return False
    if run.attempts >= run.max_attempts:
        change = Change((State.INTERRUPTED,), State.FAILED, ACTOR, "poison", _epitaph(run))
        return move(run, change, only=Q(epoch=run.epoch))
    change = Change(
        (State.INTERRUPTED,),
        State.QUEUED,
        ACTOR,
        run.reason,
        _("{message} It is tried again.").format(message=run.message),
    )
    pause = 0.0 if run.reason == "shutdown" else backoff(run.attempts)
    only = Q(epoch=run.epoch, reason=run.reason)
    return move(run, change, only=only, intent=Intent.RUN, not_before=after(pause))


def backoff(attempts: int) -> float:
    """Seconds to wait after so many attempts without progress: the first loss may be nobody's fault."""
    return float(settings.RUN_BACKOFF) * (2.0 ** (max(attempts, 1) - 1) - 1)


def _epitaph(run: Run) -> str:
    deaths = RunEvent.objects.filter(run=run, to_state=State.INTERRUPTED, reason__in=AUTOMATIC)
    last = list(deaths.order_by("-pk")[: run.max_attempts])[::-1]
    steps = ", ".join(str(event.step) for event in last)
    return _(
        "It was lost {max_attempts} times in a row, at step {steps}, and is not tried again. "
        "{words} See its log, and try smaller batches."
    ).format(max_attempts=run.max_attempts, steps=steps, words=last[-1].message if last else "")
