"""Snapshots: labels frozen for training. Preferences: what files say of two answers. Intakes: files that come in."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext

from webapp.artifacts.models import Artifact
from webapp.jobs.models import FINAL, Job
from webapp.labeling.models import Completion
from webapp.projects.intakes import COMING, Coming, WholeManager
from webapp.projects.models import Project


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
        return gettext("Snapshot {number}").format(number=self.number)

    def pairs_in(self, split: str) -> int:
        """How many usable pairs one split has."""
        return self._counted("pairs", split)

    def written_in(self, split: str) -> int:
        """How many answers to imitate one split has that somebody wrote."""
        return self._counted("written", split)

    def alone_in(self, split: str) -> int:
        """How many answers of one split people judged by themselves: thumbs, and marks."""
        return self._counted("alone", split)

    def _counted(self, what: str, split: str) -> int:
        found: int = self.manifest.get(what, {}).get(split, 0)
        return found


class Erasure(models.Model):
    """What somebody gave in a project, removed because they wish so: left are counts, and where copies are.

    Nothing that they said or wrote is in it; `marks` are the hashes of prompts and the keys of answers by which
    snapshots that hold what they wrote are found.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="erasures")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="erasures")
    pseudonym = models.CharField(max_length=200)  # in snapshots of the project
    marks = models.JSONField(
        null=True
    )  # of what was written: prompts and completions; null: to be found
    counts = models.JSONField(default=dict)  # of what was removed
    snapshots = models.ManyToManyField(Snapshot, related_name="erasures")  # that hold copies
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["project", "person"], name="erasure_once")]


# The job of such an intake is over, or its command has ended.
OVER = models.Q(job__state__in=FINAL) | models.Q(job=None, lease_until__lt=Now())


class IntakeQuerySet(models.QuerySet["Intake"]):
    """Intakes by whether anybody goes on with them."""

    def of(self, intake: "Intake") -> "IntakeQuerySet":
        """This one, for as long as nobody else stores a part of it and it is not swept."""
        return self.filter(pk=intake.pk, whole=False, taken=intake.taken)

    def left(self) -> "IntakeQuerySet":
        """Those of which a part is there, and with which nobody goes on."""
        return self.filter(models.Q(taken=SWEPT) | OVER, whole=False)

    def unsettled(self) -> "IntakeQuerySet":
        """Those that are whole, and of which something is still to be done."""
        return self.filter(whole=True, settled=False)

    def over(self) -> "IntakeQuerySet":
        """Those with which nobody goes on."""
        return self.filter(OVER)


SWEPT = -1  # parts that are taken: its rows are being removed


class Intake(models.Model):
    """A file that comes in, in many short transactions; its rows are seen once it is whole, and name it ever after."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="intakes")
    job = models.OneToOneField(Job, models.SET_NULL, null=True, related_name="intake")
    whole = models.BooleanField(default=False)
    settled = models.BooleanField(default=False)  # what waited for all of it is done
    taken = models.IntegerField(default=0)  # prompts of the file whose rows are stored
    added = models.JSONField(default=dict)  # what that brought: `intake.Added`
    lease_until = models.DateTimeField()  # of a command, which has no job

    objects = IntakeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project"], name="one_intake_at_a_time", condition=models.Q(whole=False)
            )
        ]


class ComingRank(models.Model):
    """The rank that an answer, which was here without one, gets once its intake is whole."""

    intake = models.ForeignKey(Intake, models.CASCADE, related_name="ranks")
    completion = models.ForeignKey(Completion, models.CASCADE, related_name="+")
    rank = models.IntegerField()
    ranking = models.TextField(blank=True)


class ComingTasks(models.Model):
    """Tasks of one kind, many a row, that are made once their intake is whole: a `PlacedAsk` each."""

    intake = models.ForeignKey(Intake, models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=16)
    need = models.IntegerField()
    priority = models.IntegerField()
    placed = models.JSONField()


class PreferenceQuerySet(models.QuerySet["Preference"]):
    """Imported preferences by their project."""

    def of_project(self, project: Project) -> "PreferenceQuerySet":
        """All of a project, in the order in which they came."""
        ours = Completion.objects.filter(pk=models.OuterRef("better"), prompt__project=project)
        return self.filter(models.Exists(ours)).order_by("pk")


class Preference(Coming):
    """A file says that one answer is better than another; it does not say which stood left."""

    better = models.ForeignKey(Completion, models.CASCADE, related_name="+")
    worse = models.ForeignKey(Completion, models.CASCADE, related_name="+")
    group = models.CharField(max_length=80, blank=True)  # pairs of one ranking share it
    strength = models.IntegerField(default=1)
    annotator = models.CharField(max_length=80, blank=True, default="")  # as the file calls them
    number = models.IntegerField(default=0)  # how often the file said the same before
    created_at = models.DateTimeField(db_default=Now())

    objects = WholeManager.from_queryset(PreferenceQuerySet)()
    every = PreferenceQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["intake", "id"], name="preference_coming", condition=COMING)
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["better", "worse", "group", "strength", "annotator", "number"],
                name="preference_once",
            ),
            models.CheckConstraint(
                condition=models.Q(strength__range=(1, 3)), name="preference_strength"
            ),
        ]
