"""The janitor: takes runs back from dead workers, queues them again, and rings for what waits.

All changes are compare-and-set, so that several may tend at once and a missed turn is harmless.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_noop as _

from webapp.machine import disk
from webapp.queue.leases import SILENT
from webapp.runs import keeping, tasks, waiting
from webapp.runs.models import Intent, Run, RunEvent, RunNeed, State, Worker
from webapp.runs.transitions import Change, move
from webapp.site.clock import after

ACTOR = "tend"
AUTOMATIC = ("worker_lost", "trainer_lost", "shutdown", "disk_full", "memory")
FORGET_WORKERS = timedelta(days=1)
LOST = _(
    "Its worker went silent for {lease:.0f} s: it was stopped, lost the database, or its "
    "machine slept."
)

logger = logging.getLogger(__name__)


def reap() -> int:
    """Take back the runs whose lease ran out by the database's clock; how many."""
    return sum(_take_back(run) for run in Run.objects.silent())


def requeue() -> int:
    """Queue what was interrupted through no wish of its own; what keeps dying fails as poison."""
    lost = Run.objects.filter(state=State.INTERRUPTED, reason__in=AUTOMATIC)
    return sum(_requeue(run) for run in lost)


def cancel_stranded() -> int:
    """Cancel what waits for a run that will never succeed; how many."""
    lost = RunNeed.objects.filter(
        run__state__in=[State.QUEUED, State.INTERRUPTED],
        needs__state__in=[State.FAILED, State.CANCELLED],
    )
    return sum(_strand(need) for need in lost.select_related("run", "needs"))


def ring_queues() -> int:
    """Ring each queue that has something to claim; how many were rung."""
    queued = Run.objects.filter(state=State.QUEUED).order_by()
    queues = list(queued.values_list("queue", flat=True).distinct())
    return sum(tasks.send_ring(queue) for queue in queues if _ring_due(queue))


def forget_workers() -> int:
    """Drop the rows of workers unseen for a day; how many."""
    gone = Worker.objects.filter(last_seen__lt=Now() - FORGET_WORKERS)
    return gone.exclude(runs__in=Run.objects.live()).delete()[0]


DUTIES: tuple[Callable[[], object], ...] = (
    reap,
    requeue,
    cancel_stranded,
    forget_workers,
    keeping.drop_old_checkpoints,
    keeping.sweep,
)


def _take_back(run: Run) -> bool:
    if run.state == State.STOPPING and run.intent == Intent.CANCEL:
        text = _("Cancelled; its worker was gone.")
        change = Change((State.STOPPING,), State.CANCELLED, ACTOR, "cancelled", text)
    elif run.state == State.STOPPING:
        text = _(
            "Its worker was gone before it had saved; resume goes on from an earlier checkpoint."
        )
        change = Change((State.STOPPING,), State.INTERRUPTED, ACTOR, "pause_save_failed", text)
    else:
        text = LOST.format(lease=settings.RUN_LEASE)
        working = (State.STARTING, State.RUNNING)
        change = Change(working, State.INTERRUPTED, ACTOR, "worker_lost", text)
    return move(run, change, only=SILENT & Q(epoch=run.epoch, intent=run.intent))


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
    """Seconds to wait after so many attempts without progress."""
    return float(settings.RUN_BACKOFF) * 2.0 ** (max(attempts, 1) - 1)


def _epitaph(run: Run) -> str:
    deaths = RunEvent.objects.filter(run=run, to_state=State.INTERRUPTED, reason__in=AUTOMATIC)
    last = list(deaths.order_by("-pk")[: run.max_attempts])[::-1]
    steps = ", ".join(str(event.step) for event in last)
    return _(
        "It was lost {max_attempts} times in a row, at step {steps}, and is not tried again. "
        "{words} See its log, and try smaller batches."
    ).format(max_attempts=run.max_attempts, steps=steps, words=last[-1].message if last else "")


def _strand(need: RunNeed) -> bool:
    text = _("It needed “{name}”, which was cancelled.")
    if need.needs.state == State.FAILED:
        text = _("It needed “{name}”, which failed.")
    text = text.format(name=need.needs.name)
    change = Change((State.QUEUED, State.INTERRUPTED), State.CANCELLED, ACTOR, "upstream", text)
    return move(need.run, change)


def _ring_due(queue: str) -> bool:
    best = Run.objects.claimable(queue).first()
    return best is not None and Run.objects.filter(pk=best.pk).ring_due()
