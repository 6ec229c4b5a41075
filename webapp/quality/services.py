"""Measuring labels."""

from django.db import transaction

from webapp.accounts.models import User
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
