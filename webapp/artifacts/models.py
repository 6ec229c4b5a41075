"""Artifacts: immutable stored folders, and what they were made from."""

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from webapp.projects.models import Project
from webapp.rendering.names import NameField


class ArtifactQuerySet(models.QuerySet["Artifact"]):
    """Artifacts by type."""

    def models(self) -> "ArtifactQuerySet":
        """Model versions that can be a policy, newest first."""
        return self.filter(type=Artifact.Type.MODEL).order_by("-pk")

    def backbones(self) -> "ArtifactQuerySet":
        """What a reward model can start from, newest first: models, and encoders too."""
        kinds = (Artifact.Type.MODEL, Artifact.Type.ENCODER)
        return self.filter(type__in=kinds).order_by("-pk")

    def reward_models(self) -> "ArtifactQuerySet":
        """Reward models, newest first."""
        return self.filter(type=Artifact.Type.REWARD).order_by("-pk")


class Artifact(models.Model):
    """A stored folder, named by the hash of its manifest; a model version is one of type model."""

    class Type(models.TextChoices):
        MODEL = "model", _("Model")
        ENCODER = (
            "encoder",
            _("Encoder"),
        )  # reads both ways, as BERT does: a reward model's backbone, no policy
        REWARD = "reward", _("reward model")
        SNAPSHOT = "snapshot", _("Snapshot")
        COMPLETIONS = "completions", _("Completions")
        SCORES = "scores", _("Scores")
        CORPUS = "corpus", _("Corpus")
        TEXTS = "texts", _("Texts with classes")
        CLASSIFIER = "classifier", _("classifier")
        CODE = "code", _("Reward from code")

    project = models.ForeignKey(Project, models.CASCADE, related_name="artifacts")
    type = models.CharField(max_length=16, choices=Type)
    name = NameField(max_length=120)
    manifest_sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()
    producer = models.ForeignKey(
        "runs.Run", models.PROTECT, null=True, blank=True, related_name="outputs"
    )
    summary = models.JSONField(default=dict)  # what its run said about it
    created_at = models.DateTimeField(db_default=Now())

    objects = ArtifactQuerySet.as_manager()

    class Meta:
        constraints = [
            # A run publishes each of its outputs once, however often it is asked to.
            models.UniqueConstraint(
                fields=["producer", "type", "name"], name="artifact_once_per_run"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_model(self) -> bool:
        """Whether it is listed among the models, and has a page there."""
        return self.type in MODEL_TYPES

    @property
    def path(self) -> Path:
        """Where the folder lies: content-addressed, so two equal outputs share it."""
        digest = self.manifest_sha256
        return Path(settings.STORE) / "blobs" / "sha256" / digest[:2] / digest


MODEL_TYPES = (
    Artifact.Type.MODEL,
    Artifact.Type.ENCODER,
    Artifact.Type.REWARD,
    Artifact.Type.CLASSIFIER,
)
TEXT_TYPES = (
    Artifact.Type.COMPLETIONS,
    Artifact.Type.SCORES,
)  # of what runs make, what holds texts


class ArtifactInput(models.Model):
    """A run read an artifact in a role: the edges of the lineage graph."""

    run = models.ForeignKey("runs.Run", models.CASCADE, related_name="inputs")
    artifact = models.ForeignKey(Artifact, models.PROTECT, related_name="uses")
    role = models.CharField(max_length=32)  # policy, reference, backbone, reward, judge, labels

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "role"], name="one_input_per_role")]
