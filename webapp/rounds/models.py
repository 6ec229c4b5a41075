"""Rounds: chains of runs from a snapshot to results and new tasks."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from webapp.artifacts.models import Artifact
from webapp.datasets.models import Snapshot
from webapp.projects.models import Project
from webapp.runs.models import Run


class Round(models.Model):
    """One turn of the loop: snapshot, reward model, alignment, evaluation, new completions."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="rounds")
    number = models.IntegerField()
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="rounds")
    policy = models.ForeignKey(Artifact, models.PROTECT, related_name="rounds")  # start, reference
    config = models.JSONField()  # RoundConfig: smaller, reward, align, evaluate, generate, seed
    runs = models.ManyToManyField(Run, through="RoundRun", related_name="rounds")
    idempotency_key = models.CharField(max_length=64)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="rounds"
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="round_number"),
            models.UniqueConstraint(fields=["project", "idempotency_key"], name="round_once"),
        ]

    def __str__(self) -> str:
        return gettext("Round {number}").format(number=self.number)


class RoundRun(models.Model):
    """A run's part in a round."""

    class Part(models.TextChoices):
        REWARD = "reward", _("Reward model")
        JUDGE = "judge", _("Judge")
        SHRINK = "shrink", _("Smaller model")
        ALIGN = "align", _("Alignment")
        SERVE = "serve", _("As it is served")
        EVALUATE = "evaluate", _("Evaluation")
        GENERATE = "generate", _("New completions")

    round = models.ForeignKey(Round, models.CASCADE, related_name="parts")
    run = models.ForeignKey(Run, models.PROTECT, related_name="parts")
    part = models.CharField(max_length=16, choices=Part)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["round", "part"], name="round_part")]
