"""The message that a job is there; late, lost and doubled ones change nothing."""

from celery import shared_task
from django.conf import settings

from webapp.jobs import execution
from webapp.machine import disk
from webapp.queue.bell import ring_for


@shared_task(name="jobs.work", acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]  # celery has no types
def work(job_id: int) -> None:
    """Do the job, unless somebody does it or has done it."""
    if disk.has_no_room():
        return  # tend says it again: what is claimed now is lost
    if (job := execution.claim(job_id)) is not None:
        execution.execute(job)


def send_work(job_id: int, queue: str = settings.JOB_QUEUE) -> bool:
    """Say that the job is there; whether the broker took it. When it is away, tend says it later."""
    return ring_for(work, job_id, queue=queue)
