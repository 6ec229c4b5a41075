"""Measuring labels."""

from django.db import transaction

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import FactValue, record_act
from webapp.jobs.models import FINAL, Job
from webapp.jobs.services import start_job
from webapp.projects.models import Project

KIND = "quality"  # of job


@transaction.atomic
def start_measuring(project: Project, *, by: User | None = None) -> Job:
    """Have the project's labels measured; where that is being done, the job that does it."""
    Project.objects.select_for_update().get(pk=project.pk)  # two presses at once are one
    if running := project.jobs.filter(kind=KIND).exclude(state__in=FINAL).first():
        return running
    number = project.jobs.filter(kind=KIND).count()
    last = project.jobs.filter(kind=KIND).order_by("-pk").values_list("pk", flat=True).first()
    key = f"{KIND}-{project.pk}-{number}-{last or 0}"
    return start_job(project, kind=KIND, payload={}, key=key, by=by)


@transaction.atomic
def set_checks(project: Project, *, by: User | None, **wanted: FactValue) -> None:
    """How people are checked, and how much they are asked for, by the project's columns."""
    Project.objects.filter(pk=project.pk).update(**wanted)
    record_act(Act.CHECKS_SET, by, project=project.pk, about=project.pk, **wanted)
