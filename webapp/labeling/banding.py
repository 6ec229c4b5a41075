"""Tasks put into another band of the queue: those that somebody names, or all that a filter finds, as a job."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from django.db import transaction

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.jobs.models import Job
from webapp.jobs.services import start_job
from webapp.jobs.work import Work
from webapp.labeling import cursors
from webapp.labeling.bands import Band
from webapp.labeling.models import Task, TaskQuerySet
from webapp.projects.models import Project
from webapp.site.deadlocks import again_after_deadlock

KIND = "bands"  # of job
AT_ONCE = 500  # tasks of a transaction


@again_after_deadlock
@transaction.atomic
def put_in_band(project: Project, tasks: Sequence[int], band: Band) -> int:
    """Let tasks be handed out with this band; how many were in another."""
    found = Task.objects.filter(project=project, pk__in=list(tasks)).exclude(band.holds)
    moved = list(found.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    Task.objects.filter(pk__in=moved).update(priority=band.moved())
    cursors.lead_to(project, moved)
    return len(moved)


def start_banding(
    project: Project, chosen: Mapping[str, str], band: Band, *, by: User | None = None
) -> Job:
    """Have all tasks that a filter finds (`state`, `kind`, `band`) put into a band."""
    payload = {**chosen, "to": band.value}
    return start_job(project, kind=KIND, payload=payload, key=f"{KIND}-{uuid4()}", by=by)


def put_all_in_band(job: Job) -> Work:
    """The job: some at a time, by their keys, so that what is moved is not found again."""
    band, moved, seen, last = Band(job.payload["to"]), 0, 0, 0
    found = chosen_tasks(job.project, job.payload).order_by("pk")
    total = found.count()
    while tasks := list(found.filter(pk__gt=last).values_list("pk", flat=True)[:AT_ONCE]):
        moved += put_in_band(job.project, tasks, band)
        seen, last = seen + len(tasks), tasks[-1]
        yield seen, max(seen, total)
    return partial(_told, job, band, moved)


def chosen_tasks(project: Project, chosen: Mapping[str, str]) -> TaskQuerySet:
    """The tasks of a filter; what it does not name is not asked."""
    found: TaskQuerySet = Task.objects.filter(project=project).of_state(chosen.get("state", ""))
    return found.of_kind(chosen.get("kind", "")).in_band(chosen.get("band", ""))


def _told(job: Job, band: Band, moved: int) -> dict[str, Any]:
    """What came of it."""
    who, what = job.created_by, band.value
    record_act(Act.TASKS_CHANGED, who, project=job.project_id, what=what, tasks=moved)
    return {"tasks": moved, "band": band.value}
