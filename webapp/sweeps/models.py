"""Sweeps: a run of some kind again and again, each time with other values of some of its settings."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from webapp.artifacts.models import Artifact
from webapp.projects.models import Project
from webapp.rendering.names import NameField
from webapp.runs.models import Run


class SweepState(models.TextChoices):
    """Where a sweep stands; services hold the only transitions."""

    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


class TrialState(models.TextChoices):
    """What came of it; whoever holds the sweep's row writes it."""

    OPEN = "open", _("Open")
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped early")  # at a rung, as others had got further
    FAILED = "failed", _("Failed")  # or it told no number
    REFUSED = "refused", _("Refused")  # these settings do not go together: there is no run


class Sweep(models.Model):
    """What all its trials have in common, what is varied, by which method, and towards what."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="sweeps")
    number = models.IntegerField()
    name = NameField(max_length=120)
    kind = models.CharField(max_length=16)  # of run
    config = models.JSONField()  # the settings that are not varied, with the others as they were
    space = models.JSONField()  # what is varied: a list of Dimension
    search = models.JSONField()  # SearchConfig: method, budget, how many at once
    objective = models.JSONField()  # Objective: which number, and which way is better
    learned = models.JSONField(default=list)  # of a controller: what going on is worth, by state
    seed = models.BigIntegerField(default=0)  # of every trial, and of the search

    state = models.CharField(max_length=16, choices=SweepState, default=SweepState.RUNNING)
    message = models.TextField(blank=True)
    idempotency_key = models.CharField(max_length=64)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="sweeps"
    )
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=SweepState.values), name="sweep_state"),
            models.UniqueConstraint(fields=["project", "number"], name="sweep_number"),
            models.UniqueConstraint(fields=["project", "idempotency_key"], name="sweep_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more by itself."""
        return self.state not in (SweepState.RUNNING, SweepState.PAUSED)


class SweepInput(models.Model):
    """An artifact that every trial reads."""

    sweep = models.ForeignKey(Sweep, models.CASCADE, related_name="inputs")
    role = models.CharField(max_length=32)
    artifact = models.ForeignKey(Artifact, models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sweep", "role"], name="sweep_input_once")]


class Trial(models.Model):
    """One point of a sweep, and the run that tries it."""

    sweep = models.ForeignKey(Sweep, models.CASCADE, related_name="trials")
    number = models.IntegerField()  # from 0
    values = models.JSONField()  # by setting
    run = models.OneToOneField(Run, models.PROTECT, null=True, related_name="trial")
    state = models.CharField(max_length=8, choices=TrialState, default=TrialState.OPEN)
    message = models.TextField(blank=True)  # why it was refused, or has no number
    score = models.FloatField(
        null=True
    )  # the sweep's objective, with its interval where it has one
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=TrialState.values), name="trial_state"),
            models.UniqueConstraint(fields=["sweep", "number"], name="trial_number"),
            models.CheckConstraint(
                condition=Q(run__isnull=False) | Q(state=TrialState.REFUSED), name="trial_has_run"
            ),
        ]

    def __str__(self) -> str:
        return str(self.number + 1)


class Rung(models.Model):
    """What a trial had reached at a step where trials are compared; in the order in which they came there."""

    trial = models.ForeignKey(Trial, models.CASCADE, related_name="rungs")
    rung = models.IntegerField()  # from 0
    step = models.IntegerField()
    value = models.FloatField(null=True)  # null: not a finite number

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["trial", "rung"], name="rung_once")]
