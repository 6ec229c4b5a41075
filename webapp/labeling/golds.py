"""Known answers: a table of labelling, whose other tables are in `models`."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from webapp.labeling.kinds.descriptor import LONGEST_VERDICT


class Gold(models.Model):
    """A task whose answer is known: who answers it is told, and measured by it."""

    task = models.OneToOneField("labeling.Task", models.CASCADE, related_name="gold")
    answer = models.JSONField()  # the kind's Answer, of the items in this order
    order = models.JSONField()
    verdict = models.CharField(max_length=LONGEST_VERDICT)
    explanation = models.TextField(blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    after = models.BigIntegerField(default=0)  # the last label that was given before it was one
    created_at = models.DateTimeField(db_default=Now())
