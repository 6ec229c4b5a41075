"""How a project ends: archived, with a way back; or deleted, with some days in which it can be kept."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.jobs.models import Job
from webapp.jobs.models import State as JobState
from webapp.projects.errors import ProjectError
from webapp.projects.models import Project, ProjectQuerySet
from webapp.runs.models import Run
from webapp.site.clock import after
from webapp.sweeps.models import SweepState

GRACE = timedelta(days=7)


@transaction.atomic
def archive_project(project: Project, *, by: User | None = None) -> None:
    """Let nothing of a project change, and no list show it; raises ProjectError while something works in it."""
    _must_rest(project)
    Project.objects.filter(pk=project.pk).update(archived_at=Coalesce("archived_at", Now()))
    record_act(Act.PROJECT_ARCHIVED, by, project=project.pk, about=project.pk)


@transaction.atomic
def restore_project(project: Project, *, by: User | None = None) -> None:
    """Let people work in it again; raises ProjectError where it is being removed already."""
    if not _kept(project).update(archived_at=None, delete_after=None):
        raise ProjectError(_("It is too late: the project is being removed."))
    record_act(Act.PROJECT_RESTORED, by, project=project.pk, about=project.pk)


@transaction.atomic
def doom_project(project: Project, *, by: User | None = None) -> None:
    """Archive a project and remove it some days later; raises ProjectError while something works in it."""
    _must_rest(project)
    archived = {"archived_at": Coalesce("archived_at", Now())}
    end = {"delete_after": Coalesce("delete_after", after(GRACE.total_seconds()))}
    Project.objects.filter(pk=project.pk).update(**archived, **end)
    record_act(Act.PROJECT_DOOMED, by, project=project.pk, about=project.pk, name=project.name)


@transaction.atomic
def spare_project(project: Project, *, by: User | None = None) -> None:
    """Keep a project that was to be removed, archived as it is; raises ProjectError where that has begun."""
    if not _kept(project).update(delete_after=None):
        raise ProjectError(_("It is too late: the project is being removed."))
    record_act(Act.PROJECT_SPARED, by, project=project.pk, about=project.pk)


def _kept(project: Project) -> ProjectQuerySet:
    lasting = Q(delete_after__isnull=True) | Q(delete_after__gt=Now())
    return Project.objects.filter(lasting, pk=project.pk)


def _must_rest(project: Project) -> None:
    """Lock the project against new runs, and raise ProjectError where something is under way in it."""
    Project.objects.select_for_update().get(pk=project.pk)
    if Run.objects.under_way().filter(project=project).exists():
        raise ProjectError(
            _("Runs are under way in this project: let them end, or cancel them first.")
        )
    if project.sweeps.filter(state=SweepState.RUNNING).exists():
        raise ProjectError(
            _("A sweep is under way in this project: let it end, or cancel it first.")
        )
    if Job.objects.filter(project=project, state__in=(JobState.QUEUED, JobState.WORKING)).exists():
        raise ProjectError(
            _("An import, an export or another job is under way in this project: let it end first.")
        )
