"""Jobs: short background work for a person who waits for it, such as an import or an export."""

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from webapp.projects.models import Project
from webapp.queue.leases import SILENT, Leased, LeasedQuerySet


class State(models.TextChoices):
    """Where a job stands; services and execution hold the only transitions."""

    QUEUED = "queued", _("Queued")
    WORKING = "working", _("Working")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


NAMES = (gettext_noop("working"), gettext_noop("done"))  # that are not also a run's
FINAL = (State.DONE, State.FAILED, State.CANCELLED)


class JobQuerySet(LeasedQuerySet["Job"]):
    """Jobs by what may happen to them next."""

    def claimable(self) -> "JobQuerySet":
        """Jobs that nobody works on and that were not lost too often."""
        return self.untired().filter(Q(state=State.QUEUED) | Q(state=State.WORKING) & SILENT)

    def end(self, state: State, message: str = "") -> bool:
        """Say that these are over, in that state; whether there were any."""
        columns = {"state": state, "message": message, "lease_until": None, "ended_at": Now()}
        return bool(self.update(**columns))


class Job(Leased):
    """One piece of background work; attempts fence it."""

    LIVE_STATES, FINAL_STATES, LEASE = (State.WORKING,), FINAL, "JOB_LEASE"

    project = models.ForeignKey(Project, models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=16)  # a key of jobs.kinds.JOB_KINDS
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    progress = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    payload = models.JSONField(default=dict)  # what to do
    result = models.JSONField(default=dict)  # what came of it
    key = models.CharField(max_length=64, unique=True)  # the same key is the same job
    holder = models.CharField(
        max_length=160, blank=True
    )  # the process that works on it, by its name
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="jobs"
    )

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="job_state")
        ]
        indexes = [models.Index(fields=["state", "lease_until"], name="job_by_lease")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def shown_state(self) -> str:
        """The state in the words of runs, whose colours it has."""
        return {"working": "running", "done": "succeeded"}.get(self.state, str(self.state))

    @property
    def folder(self) -> Path:
        """Where this attempt keeps its files; another one has a folder of its own."""
        return Path(settings.STORE) / "jobs" / str(self.pk) / f"a{self.attempts}"

    @property
    def file(self) -> Path | None:
        """The file that a finished job offers, while it is kept."""
        name = self.result.get("file", "")
        path = self.folder / name
        return path if name and path.is_file() else None
