"""Snapshots: labels frozen for training."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from webapp.projects.models import Project
from webapp.registry.models import Artifact


class Snapshot(models.Model):
    """A frozen set of labels; its folder holds Parquet with every raw label and a manifest."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="snapshots")
    number = models.IntegerField()
    artifact = models.OneToOneField(Artifact, models.PROTECT, related_name="snapshot")
    labels = models.IntegerField()  # counted in, revisions excluded
    pairs = models.IntegerField()  # usable for training: no ties, chosen differs from rejected
    annotators = models.IntegerField()
    manifest = models.JSONField()  # counts by choice and split, filter, code version
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="snapshots"
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="snapshot_number")
        ]

    def __str__(self) -> str:
        return f"Snapshot {self.number}"

    def pairs_in(self, split: str) -> int:
        """How many usable pairs one split has."""
        return self.manifest.get("pairs", {}).get(split, 0)
