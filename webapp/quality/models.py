"""What was measured of a project's labels."""

from django.db import models
from django.db.models.functions import Now

from webapp.projects.models import Project


class QualityReport(models.Model):
    """The newest measurement of a project: who agrees with whom, and how each person answers."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="quality")
    figures = models.JSONField()  # quality.measures.Measures.figures
    newest = models.BigIntegerField(default=0)  # the last label that was there then
    made_at = models.DateTimeField(db_default=Now())
