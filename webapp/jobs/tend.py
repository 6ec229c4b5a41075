"""The janitor of jobs: tells workers again what waits, ends what keeps dying, drops what is old."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from itertools import takewhile

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_noop as _

from webapp.jobs.execution import record_end
from webapp.jobs.kinds import JOB_KINDS
from webapp.jobs.models import FINAL, Job, State
from webapp.jobs.tasks import send_work
from webapp.machine import uploads
from webapp.machine.processes import has_ended
from webapp.site.clock import after

KEEP = timedelta(days=30)
LOST = _(
    "Its worker died {attempts} times over it, and it is not tried again. If memory ran "
    "out, try a smaller file; the worker's log says more."
)


def ring_jobs() -> int:
    """Send what waits or was left by a dead worker; how many were sent."""
    waiting = Job.objects.claimable()
    rows = list(waiting.order_by("pk").values_list("pk", "kind"))
    due = (row for row in rows if waiting.filter(pk=row[0]).ring_due())
    return sum(
        1 for _ in takewhile(_ring, due)
    )  # the first that a broker does not take is the last


def _ring(row: tuple[int, str]) -> bool:
    """Send a job of a kind to the workers that do such."""
    return send_work(row[0], JOB_KINDS[row[1]].queue)


def release_left_jobs() -> int:
    """End the leases of jobs whose worker has certainly ended; how many."""
    held = Job.objects.live().exclude(holder="")
    left = [job for job in held if has_ended(job.holder)]
    return sum(Job.objects.mine(job).update(lease_until=after(-1)) for job in left)


def fail_lost_jobs() -> int:
    """End jobs that took their workers down too often; how many."""
    lost = Job.objects.silent().filter(attempts__gte=F("max_attempts"))
    return sum(_give_up(job) for job in lost)


def forget_jobs() -> int:
    """Drop jobs that ended a month ago, with their files; how many."""
    old = list(Job.objects.filter(state__in=FINAL, ended_at__lt=Now() - KEEP))
    for job in old:
        shutil.rmtree(job.folder.parent, ignore_errors=True)
        for name in filter(None, [job.payload.get("upload")]):
            uploads.forget(name)
        job.delete()
    return len(old)


DUTIES: tuple[Callable[[], object], ...] = (release_left_jobs, fail_lost_jobs, forget_jobs)


@transaction.atomic
def _give_up(job: Job) -> bool:
    ended = Job.objects.silent().mine(job).end(State.FAILED, LOST.format(attempts=job.attempts))
    if ended:
        record_end(job, State.FAILED)
    return ended
