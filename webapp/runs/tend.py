"""The janitor: has runs taken back from dead workers, cancels what cannot start, and rings for what waits.

All changes are compare-and-set, so that several may tend at once and a missed turn is harmless.
"""

from collections.abc import Callable
from datetime import timedelta

from django.db.models.functions import Now
from django.utils.translation import gettext_noop as _

from webapp.runs import keeping, tasks
from webapp.runs.models import Run, RunNeed, State, Worker
from webapp.runs.recovery import ACTOR, reap, requeue
from webapp.runs.transitions import Change, move

FORGET_WORKERS = timedelta(days=1)


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
