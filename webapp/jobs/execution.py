"""Doing a job: claimed by one worker, its progress stored under its lease, its end stored once."""

import logging
import math
import shutil
import time
from contextlib import closing
from functools import partial

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_noop as _

from alignment.seam.errors import AlignmentError
from alignment.seam.progress import counting, listening
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.jobs.errors import NotYet
from webapp.jobs.kinds import JOB_KINDS, UNTOLD
from webapp.jobs.models import Job, State
from webapp.jobs.work import Finish
from webapp.machine import database, disk
from webapp.machine.processes import own_name
from webapp.notifications.models import Occasion
from webapp.notifications.services import News, notify
from webapp.queue.leases import LostLease
from webapp.site.errors import Refusal

FULL = _("The disk is full. Free some space; this goes on by itself.")
AWAY = _("The database was away; this goes on by itself.")
AWAITED = ("preview", "quality")  # somebody looks at their page until they are done

logger = logging.getLogger(__name__)


def claim(job_id: int) -> Job | None:
    """Take the job if nobody works on it; a doubled message takes nothing."""
    return Job.objects.claimable().take(job_id, state=State.WORKING, holder=own_name())


def execute(job: Job) -> None:
    """Work on a claimed job to its end, or until it is no longer ours."""
    try:
        _work(job)
    except LostLease:
        logger.warning("job %s: attempt %s is no longer ours", job.pk, job.attempts)
        shutil.rmtree(job.folder, ignore_errors=True)
    except NotYet as reason:
        _wait(job, reason, str(reason))
    except (Refusal, AlignmentError) as refusal:
        _fail(job, str(refusal))
    except Exception as error:
        if disk.is_full(error):
            _wait(job, error, FULL)
        elif database.is_away(error) or database.is_busy(error):
            _wait(job, error, AWAY)
        elif isinstance(error, OSError):
            logger.exception("job %s", job.pk)
            _fail(
                job,
                _("A file could not be read or written: {strerror}.").format(
                    strerror=error.strerror or error
                ),
            )
        else:
            _fail(
                job,
                _("Unexpected error; the worker's log says more about job {pk}.").format(pk=job.pk),
            )
            raise


class Renewal:
    """Keeps a job's lease, at most so often as settings say; raises LostLease where it is no longer ours."""

    def __init__(self, job: Job) -> None:
        self.job, self.renewed = job, -math.inf

    def __call__(self, **columns: int) -> None:
        """A sign of life, with what there is to write."""
        if time.monotonic() - self.renewed > settings.JOB_RENEW:
            Job.objects.renew(self.job, **columns)
            self.renewed = time.monotonic()


def _work(job: Job) -> None:
    conclude(job, _through(job))


def _through(job: Job) -> Finish:
    """Do all steps; between two of them the bytes that are read are signs of life (`seam.progress.reach`)."""
    renewal = Renewal(job)
    with closing(JOB_KINDS[job.kind].work(job)) as steps, listening(lambda _: renewal()):
        while True:
            with counting(1, "steps"):
                try:
                    done, total = next(steps)
                except StopIteration as end:
                    finish: Finish = end.value
                    return finish
            renewal(progress=done, total=total)


@transaction.atomic
def conclude(job: Job, finish: Finish) -> None:
    """Take the last step and say that the job is done, both or neither; raises LostLease.

    The fenced update comes first: it locks the row, so that nobody cancels between.
    """
    if not Job.objects.mine(job).end(State.DONE):
        raise LostLease(job.pk)
    Job.objects.filter(pk=job.pk).update(result=dict(finish()), progress=F("total"))
    record_end(job, State.DONE)


def record_end(job: Job, state: State) -> None:
    """Tell of a job that is over."""
    if job.kind not in UNTOLD:
        said = {"kind": job.kind, "state": state.value}
        record_act(Act.JOB_ENDED, None, project=job.project_id, about=job.pk, **said)
    _tell(job, state)


@transaction.atomic
def _fail(job: Job, message: str) -> None:
    shutil.rmtree(job.folder, ignore_errors=True)
    if Job.objects.mine(job).end(State.FAILED, message):
        record_end(job, State.FAILED)


def _tell(job: Job, state: State) -> None:
    """Tell whoever asked for it, once that is certain; a preview is waited for."""
    if job.kind not in AWAITED:
        transaction.on_commit(partial(_notify, job, state))


def _notify(job: Job, state: State) -> None:
    """Write the news. The first address that a worker makes loads all pages: meanwhile nobody waits for a row of ours."""
    url = reverse("jobs:detail", args=[job.project_id, job.pk])
    title = JOB_KINDS[job.kind].title
    notify([job.created_by_id], News(job.project_id, Occasion.JOB, title, url, str(state)))


def _wait(job: Job, error: Exception, words: str) -> None:
    """Give the job back, as if it had not been tried: it is done when what it lacks is there.

    To say so needs either as well: it is tried for as long as the job is ours.
    """
    logger.warning("job %s waits: %s", job.pk, error)
    shutil.rmtree(job.folder, ignore_errors=True)
    given_back = {"state": State.QUEUED, "attempts": F("attempts") - 1, "lease_until": None}
    end = time.monotonic() + settings.JOB_LEASE
    while time.monotonic() < end:
        try:
            Job.objects.mine(job).update(message=words, rung_at=Now(), **given_back)
            return
        except DatabaseError:
            connection.close()
            time.sleep(settings.RUN_POLL)
