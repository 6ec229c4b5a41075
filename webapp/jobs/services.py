"""What people do to jobs."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.jobs import tasks
from webapp.jobs.errors import JobError
from webapp.jobs.kinds import JOB_KINDS, UNTOLD
from webapp.jobs.models import Job, State
from webapp.projects.models import Project
from webapp.site.stamps import rows_seen, stamp_of

LATER = 15  # seconds after which a page is drawn again though its row has not changed


@transaction.atomic
def start_job(
    project: Project, *, kind: str, payload: Mapping[str, Any], key: str, by: User | None = None
) -> Job:
    """Queue a job once per key."""
    columns = {"project": project, "kind": kind, "payload": dict(payload), "created_by": by}
    job, created = Job.objects.get_or_create(key=key, defaults=columns)
    if created:
        if job.kind not in UNTOLD:
            record_act(Act.JOB_STARTED, by, project=project.pk, about=job.pk, kind=kind)
        transaction.on_commit(partial(tasks.send_work, job.pk, JOB_KINDS[kind].queue))
        job.refresh_from_db()  # its times are the database's
    return job


@transaction.atomic
def cancel_job(job: Job, *, by: User | None = None) -> None:
    """Cancel a job that is not over; its worker notices when it next says how far it is."""
    open_ = Job.objects.filter(pk=job.pk, state__in=(State.QUEUED, State.WORKING))
    if not open_.end(State.CANCELLED):
        raise JobError(_("It is over already; there is nothing to cancel."))
    record_act(Act.JOB_CANCELLED, by, project=job.project_id, about=job.pk, kind=job.kind)


@transaction.atomic
def retry_job(job: Job, *, by: User | None = None) -> None:
    """Queue a job that failed once more, with as many attempts as a new one; its fence goes on counting.

    Raises JobError where it did not fail, or somebody was quicker.
    """
    again: dict[str, object] = {
        "state": State.QUEUED,
        "message": "",
        "ended_at": None,
        "progress": 0,
        "result": {},
    }
    tries = F("attempts") + Job._meta.get_field("max_attempts").default
    if not Job.objects.filter(pk=job.pk, state=State.FAILED).update(max_attempts=tries, **again):
        raise JobError(_("Only a job that failed is tried again."))
    record_act(Act.JOB_RETRIED, by, project=job.project_id, about=job.pk, kind=job.kind)
    transaction.on_commit(partial(tasks.send_work, job.pk))


def stamp_of_job(project_id: int, job_id: int) -> str:
    """Another word when something that is shown of a job has changed."""
    rows = rows_seen(Job, "WHERE project_id = %s AND id = %s", project_id, job_id)
    return stamp_of(rows, every=LATER)
