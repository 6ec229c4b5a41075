"""What annotators ask about tasks; a model of the labeling app, whose `models` has it too."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from webapp.projects.models import Project


class Question(models.Model):
    """What an annotator asks a researcher about a task, and the answer."""

    task = models.ForeignKey("labeling.Task", models.CASCADE, related_name="questions")
    project = models.ForeignKey(Project, models.CASCADE, related_name="questions")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="questions")
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    answer = models.TextField(blank=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    answered_at = models.DateTimeField(null=True)
