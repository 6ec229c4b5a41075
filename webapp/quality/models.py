"""What was measured of a project's labels, and what was decided where they differ."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from webapp.artifacts.models import Artifact
from webapp.labeling.kinds.descriptor import LONGEST_VERDICT
from webapp.labeling.models import Task
from webapp.projects.models import Project
from webapp.quality.sayings import words_by_place
from webapp.site.words import Words


class QualityReport(models.Model):
    """The newest measurement of a project: who agrees with whom, and how each person answers."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="quality")
    figures = models.JSONField()  # quality.measures.Measures.figures
    newest = models.BigIntegerField(default=0)  # the last label that was there then
    made_at = models.DateTimeField(db_default=Now())


class AdjudicationQuerySet(models.QuerySet["Adjudication"]):
    """Adjudications by whether they still speak."""

    def standing(self) -> "AdjudicationQuerySet":
        """Those that nobody took back or replaced."""
        return self.filter(standing=True)


class Adjudication(models.Model):
    """What a researcher decided about a task: it speaks instead of all its labels, which stay as they are.

    Rows are only ever added: one that is taken back or replaced stands no more.
    """

    task = models.ForeignKey(Task, models.CASCADE, related_name="adjudications")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    key = models.UUIDField(unique=True)  # by the page: sent twice it is stored once
    answer = models.JSONField()  # the kind's Answer, of the items in this order
    order = models.JSONField()
    verdict = models.CharField(max_length=LONGEST_VERDICT)
    rationale = models.TextField(blank=True)
    standing = models.BooleanField(default=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())

    objects = AdjudicationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task"], name="one_standing_adjudication", condition=models.Q(standing=True)
            )
        ]

    @property
    def in_words(self) -> Words:
        """What was decided, by the letters of the items' places."""
        return words_by_place(self.task.asks, self.answer, self.order)


class Allocation(models.Model):
    """Tasks that were chosen at once by what they would teach, and others beside them by chance alone."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="allocations")
    scores = models.ForeignKey(Artifact, models.PROTECT, related_name="allocations")
    method = models.CharField(max_length=16)  # one of quality.allocation.METHODS
    wanted = models.IntegerField()
    control = models.FloatField()  # share of them that chance chose
    seed = models.BigIntegerField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())


class ChosenTask(models.Model):
    """A task of an allocation: what chose it, and what the ensemble thought of it before anybody answered."""

    task = models.OneToOneField(Task, models.CASCADE, related_name="chosen")
    allocation = models.ForeignKey(Allocation, models.CASCADE, related_name="tasks")
    chosen_by = models.CharField(max_length=16)  # a method, or `control`
    chance = models.FloatField()  # that the item at place 0 is preferred
    information = models.FloatField()  # nats, of which head is right
    entropy = models.FloatField()  # nats: how open the comparison is

    class Meta:
        indexes = [models.Index(fields=["allocation", "chosen_by"], name="chosen_by_what")]
