"""The message that a job is there; late, lost and doubled ones change nothing."""

import logging

from celery import shared_task
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from webapp.jobs import execution
from webapp.machine import disk

logger = logging.getLogger(__name__)


@shared_task(name="jobs.work", acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]  # celery has no types
def work(job_id: int) -> None:
    """Do the job, unless somebody does it or has done it."""
    if disk.has_no_room():
        return  # tend says it again: what is claimed now is lost
    if (job := execution.claim(job_id)) is not None:
        execution.execute(job)


def send_work(job_id: int) -> bool:
    """Say that the job is there; whether the broker took it. When it is away, tend says it later."""
    try:
        work.apply_async((job_id,), queue=settings.JOB_QUEUE, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("Could not send job %s, tend will: %s", job_id, error)
        return False
    return True
