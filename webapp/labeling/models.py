"""Completions, the tasks that ask about them, who holds a task, and the labels."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import BooleanField, F, Q, Subquery, Value
from django.db.models.fields.tuple_lookups import Tuple
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.labeling import exchanges, sides
from webapp.labeling.asked import Question as Question  # Django looks for it here
from webapp.labeling.bands import Band, band_of
from webapp.labeling.golds import Gold as Gold  # as well
from webapp.labeling.kinds import kind_named
from webapp.labeling.kinds.descriptor import (
    LETTERS,
    LONGEST_VERDICT,
    MOST_ITEMS,
    InWords,
    TaskKind,
)
from webapp.labeling.written_reviews import WrittenReview
from webapp.projects.intakes import COMING, Coming, IsWhole, WholeManager
from webapp.projects.models import Project, Prompt
from webapp.site.pages import Later
from webapp.site.words import Words

SKIP_REASONS = {
    "unclear": _("The question is unclear"),
    "too_long": _("Too long"),
    "language": _("In a language I do not read"),
    "upsetting": _("Upsetting"),
    "other": _("Something else"),
}
OWN = "own"  # a reason nobody gives: what somebody wrote they are not asked about
TABLES = (exchanges.Exchange, WrittenReview)  # of this app that stand in files of their own
LONGEST_IDENTITY = 40 + 20 * MOST_ITEMS  # characters
DECLINED = "declined"  # likewise: of a tag that somebody does not want to be asked about
YES, NO = [True], [False]  # looked for so, SQLite finds them in an index
ENOUGH_SKIPS = 3  # people who skipped a task before it goes to the researcher instead


class ToldField(models.BooleanField):  # type: ignore[type-arg]  # Django's fields take no arguments when they run
    """A column that may be given as an expression: the statement that inserts a row tells what it became."""

    db_returning = True

    def deconstruct(self) -> Any:  # noqa: ANN401 - as Django's
        """As the plain column that it is to migrations."""
        name, _path, *rest = super().deconstruct()
        return (name, "django.db.models.BooleanField", *rest)


class Completion(Coming):
    """An answer to a prompt, by a model or a person."""

    class Source(models.TextChoices):
        MODEL = "model"
        IMPORTED = "imported"
        HUMAN = "human"

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="completions")
    text = models.TextField(blank=True)
    source = models.CharField(max_length=16, choices=Source)
    model = models.ForeignKey(
        Artifact, models.PROTECT, null=True, blank=True, related_name="completions"
    )
    run = models.ForeignKey(
        "runs.Run", models.PROTECT, null=True, blank=True, related_name="completions"
    )
    sampling = models.JSONField(default=dict)  # temperature, limits; imported: which ranking
    logps = models.FloatField(null=True)  # nats, of the sampler
    rank = models.IntegerField(null=True)  # imported: 0 is the best of its prompt
    key = models.CharField(max_length=80)  # names it for idempotent imports and publishes
    created_at = models.DateTimeField(db_default=Now())

    objects: "WholeManager[Completion]" = WholeManager()
    every: "models.Manager[Completion]" = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["prompt", "key"], name="completion_once")]
        indexes = [
            models.Index(fields=["intake", "id"], name="completion_coming", condition=COMING),
            models.Index(
                fields=["prompt"], name="completion_in_ranking", condition=Q(rank__isnull=False)
            ),
        ]


EVERY = Q()  # task
OPEN = Q(taken__lt=F("need"), skips__lt=ENOUGH_SKIPS, intake__isnull=True)
STATES = {
    "open": OPEN,  # a place is free
    "leased": Q(taken__gt=F("done")),  # somebody works on it
    "done": Q(done=F("need")),  # every place is answered
    "skipped": Q(taken__lt=F("need"), skips__gte=ENOUGH_SKIPS),  # nobody is asked any more
}


LAST_PLACE = (2**31 - 1, 2**63 - 1)  # a priority and a key
FIRST_PLACE = (-LAST_PLACE[0], -LAST_PLACE[1])


class TaskQuerySet(models.QuerySet["Task"]):
    """Tasks by who may still answer them."""

    def open(self) -> "TaskQuerySet":
        """Tasks with a free place, unless too many people skipped them."""
        return self.filter(OPEN)

    def open_for(self, project: Project, annotator: User, only: Q = EVERY) -> "TaskQuerySet":
        """Tasks with a free place that this person neither holds, answered nor skipped, in order; no others than `only`."""
        mine = Assignment.objects.filter(task=models.OuterRef("pk"), annotator=annotator)
        kept = mine.exclude(state=Assignment.State.EXPIRED).values_list(Value(value=False))[:1]
        # Looked up for one task after the other: for NOT EXISTS, PostgreSQL would first read all that is theirs. And
        # as a truth of its own: it thinks hardly any value to be null, and would look at every task for a few.
        is_new = Coalesce(Subquery(kept), Value(value=True), output_field=BooleanField())
        return self.filter(only, project=project).open().filter(is_new).order_by("priority", "key")

    def ahead_of(self, project: Project, annotator: User, only: Q = EVERY) -> "TaskQuerySet":
        """Those of `open_for` to which the queue has not led this person yet."""
        return self.open_for(project, annotator, only).filter(_is_ahead(project, annotator))

    def opened_behind(self, project: Project, annotator: User, only: Q = EVERY) -> "TaskQuerySet":
        """Those of `open_for` that opened after the queue had led this person past them."""
        since = Cursor.objects.of(project, annotator).values("seen")
        found = self.open_for(project, annotator, only).exclude(_is_ahead(project, annotator))
        found = found.filter(opened_at__gt=Subquery(since))
        return found.order_by(
            F("priority") + 0, "key"
        )  # they are few: by an index all would be read

    def let_open(self, **changes: Any) -> int:  # noqa: ANN401 - as Django's
        """Change tasks so that they may be open again, even for people whom the queue has led past them."""
        return self.update(**changes, opened_at=Now())

    def of_state(self, state: str) -> "TaskQuerySet":
        """Tasks of one of STATES; any other word means all."""
        found = self.filter(STATES[state]) if state in STATES else self
        if state != "skipped":
            return found
        # Looked up first: they are few, and no database guesses how few.
        aside = Task.every.filter(skips__gte=ENOUGH_SKIPS).order_by()
        return found.filter(pk__in=aside.values("pk"))

    def of_kind(self, kind: str) -> "TaskQuerySet":
        """Tasks of one kind; no name means all."""
        return self.filter(kind=kind) if kind else self

    def in_band(self, band: str) -> "TaskQuerySet":
        """Tasks of one band; no name means all."""
        return self.filter(Band(band).holds) if band in Band.values else self

    def listed(self) -> "TaskQuerySet":
        """With what a row of the table shows, in the order in which they are handed out."""
        skipped = Assignment.objects.filter(state=Assignment.State.SKIPPED).order_by("pk")
        reasons = models.Prefetch("assignments", queryset=skipped, to_attr="skipped")
        ordered = self.select_related("prompt").prefetch_related(reasons)
        return ordered.annotate(leased=F("taken") - F("done")).order_by("priority", "key")


class Task(Coming):
    """One question to annotators about one prompt; `taken` counts live leases and counted labels."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=16)  # one of labeling.kinds
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="tasks")
    size = models.IntegerField()  # how many items it has; which one is shown first: flip and slot
    identity = models.CharField(max_length=LONGEST_IDENTITY, unique=True)  # see `identity_of`
    need = models.IntegerField(default=1)
    taken = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    skips = models.IntegerField(default=0)  # assignments that are skipped
    priority = models.IntegerField(default=100)  # smaller goes first
    key = models.BigIntegerField()  # random: the order within a priority
    flip = models.IntegerField()  # the place that is shown first in slot 0
    repeat_of = models.ForeignKey(  # asks one person again what they answered, without saying so
        "self", models.CASCADE, null=True, related_name="repeats", db_index=False
    )
    raised = models.IntegerField(default=0)  # labels asked for besides, as two differ
    created_at = models.DateTimeField(db_default=Now())
    opened_at = models.DateTimeField(null=True)  # a place was given back, or is wanted besides
    language = models.CharField(max_length=8, null=True)  # of its prompt; none: nobody has looked  # noqa: DJ001

    objects = WholeManager.from_queryset(TaskQuerySet)()
    every = TaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(done__lte=F("need")), name="task_done_in_need"),
            models.CheckConstraint(condition=Q(taken__lte=F("need")), name="task_taken_in_need"),
            models.CheckConstraint(condition=Q(done__gte=0, taken__gte=0), name="task_counts"),
        ]
        indexes = [
            models.Index(
                # With all that OPEN asks, so that counting reads the index alone.
                fields=["project", "priority", "key", "id", "skips", "taken", "need", "intake"],
                name="task_free",
                condition=Q(taken__lt=F("need"), intake__isnull=True),
            ),
            models.Index(
                fields=["project", "opened_at"],
                name="task_opened",
                condition=Q(taken__lt=F("need"), intake__isnull=True, opened_at__isnull=False),
            ),
            models.Index(fields=["project", "priority", "key", "id", "intake"], name="task_listed"),
            models.Index(
                fields=["project", "priority", "key", "id", "intake"],
                name="task_held",
                condition=Q(taken__gt=F("done")),
            ),
            models.Index(
                fields=["project", "priority", "key", "id", "intake"],
                name="task_answered",
                condition=Q(done=F("need")),
            ),
            models.Index(fields=["skips"], name="task_put_aside"),
            models.Index(fields=["intake", "id"], name="task_coming", condition=COMING),
            models.Index(
                fields=["repeat_of"], name="task_repeats", condition=Q(repeat_of__isnull=False)
            ),
        ]

    @property
    def held_back(self) -> bool:
        """Whether nobody is asked any more: it waits for the researcher."""
        return self.skips >= ENOUGH_SKIPS and self.taken < self.need

    @property
    def band(self) -> Band:
        """When it has its turn."""
        return band_of(self.priority)

    @property
    def asks(self) -> TaskKind:
        """What it asks."""
        return kind_named(self.kind)

    @cached_property
    def completions(self) -> list[Completion]:
        """What it asks about, by place."""
        return [item.completion for item in self.items.all()] if self.size else []

    def order(self, slot: int) -> list[int]:
        """The places of its items as the person in this slot sees them: each slot begins one later."""
        return sides.order(self.flip, slot, self.size)

    def in_order(self, order: Sequence[int]) -> list[Completion]:
        """What it asks about, in the order of these places."""
        there = self.completions
        return [there[place] for place in order]


def identity_of(kind: str, prompt_id: int, completions: Iterable[int]) -> str:
    """What a task is, so that nothing is asked twice: its kind, prompt and completions in any order."""
    return f"{kind}:{prompt_id}:{','.join(map(str, sorted(completions)))}"


class CursorQuerySet(models.QuerySet["Cursor"]):
    """Cursors by whose they are."""

    def of(self, project: Project, annotator: User) -> "CursorQuerySet":
        """The one of a person in a project, if there is one."""
        return self.filter(project=project, annotator=annotator)


class Cursor(models.Model):
    """How far the queue has led somebody through a project's tasks; without one they are at the beginning.

    No task up to this place is open for them, but for some that opened after it was `seen`: so a claim begins
    behind it, and walks over nothing that they have done. Whoever opens a task says so (`let_open`).
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    priority = models.IntegerField()
    key = models.BigIntegerField()
    seen = models.DateTimeField()  # of what opened before, nothing is left behind
    begun = models.DateTimeField(db_default=Now())  # at the beginning

    objects = CursorQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["annotator", "project"], name="cursor_once")]


def _is_ahead(project: Project, annotator: User) -> Later:
    """Whether a task stands behind the place to which the queue has led a person."""
    cursor = Cursor.objects.of(project, annotator)
    columns = zip(("priority", "key"), FIRST_PLACE, strict=True)
    there = tuple(Coalesce(Subquery(cursor.values(column)), first) for column, first in columns)
    return Later(Tuple(F("priority"), F("key")), there)


class TaskItemManager(models.Manager["TaskItem"]):
    """Items always come with their completions."""

    def get_queryset(self) -> models.QuerySet["TaskItem"]:
        """All of them, by place."""
        return super().get_queryset().select_related("completion").order_by("place")


class TaskItem(models.Model):
    """A completion that a task asks about; its place is not where somebody sees it."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="items")
    place = models.IntegerField()
    completion = models.ForeignKey(Completion, models.RESTRICT, related_name="items")

    objects = TaskItemManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "place"], name="task_item_once")]


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    """Assignments by who holds them."""

    def held_by(self, annotator: User) -> "AssignmentQuerySet":
        """This person's leases, oldest first; an overdue one holds its place until it is expired."""
        return self.filter(annotator=annotator, state=Assignment.State.LEASED).order_by("pk")

    def in_project(self, project: int) -> "AssignmentQuerySet":
        """Those of a project, oldest first, by statements that are planned once.

        Planned for whatever person comes, PostgreSQL would join all tasks of the project, or look through all rows in
        their order: so each row's project is looked up, and the order is that of a sum.
        """
        here = Task.every.filter(pk=models.OuterRef("task")).values("project")[:1]
        return self.alias(here=Subquery(here)).filter(here=project).order_by(F("pk") + 0)

    def overdue(self) -> "AssignmentQuerySet":
        """Leases nobody extended in time."""
        return self.filter(state=Assignment.State.LEASED, lease_until__lt=Now())

    def locked(self) -> "AssignmentQuerySet":
        """With their tasks, both locked, the task before; `third` is whether one is asked where two differ."""
        wanted = self.annotate(third=F("task__project__third_if_two_differ"))
        return wanted.select_related("task").select_for_update(no_key=True, of=("task", "self"))


class Assignment(models.Model):
    """One annotator's lease on one task."""

    class State(models.TextChoices):
        LEASED = "leased"
        SUBMITTED = "submitted"
        SKIPPED = "skipped"
        EXPIRED = "expired"
        RESERVED = "reserved"  # a place that waits for this person alone

    task = models.ForeignKey(Task, models.CASCADE, related_name="assignments")
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="assignments"
    )
    slot = models.IntegerField()
    state = models.CharField(max_length=16, choices=State, default=State.LEASED)
    lease_until = models.DateTimeField()
    named = models.BooleanField(default=False)  # nobody else is given the place meanwhile
    note = models.TextField(blank=True)  # what a researcher says who sends it back
    skip_reason = models.CharField(max_length=32, blank=True)
    skip_id = models.UUIDField(null=True)  # by the page, so that undo and repeats can name a skip
    skip_after = models.BigIntegerField(
        default=0
    )  # the person's newest label then: no clock orders acts
    skip_order = models.IntegerField(default=0)  # the person's skips, counted
    draft = models.JSONField(
        default=dict
    )  # rationale, flags; other: words that no answer took along
    draft_revision = models.IntegerField(default=0)  # grows with each draft that is saved
    created_at = models.DateTimeField(db_default=Now())
    warnings: Sequence[str] = ()  # by labeling.warned: what its project warns of in it

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "annotator"], name="assignment_once"),
            models.UniqueConstraint(
                fields=["task", "slot"],
                name="one_holder_per_slot",
                condition=Q(state__in=["leased", "submitted", "reserved"]),
            ),
        ]
        indexes = [
            # Not partial: SQLite cannot match a bound parameter with an index's condition.
            models.Index(fields=["state", "lease_until"], name="assignment_by_lease"),
            models.Index(fields=["annotator", "state"], name="assignment_by_annotator"),
        ]

    @property
    def reason(self) -> str:
        """Why it was skipped, in words."""
        if self.skip_reason == OWN:
            return str(_("Wrote it"))
        if self.skip_reason == DECLINED:
            return str(_("Declines its tag"))
        return str(SKIP_REASONS.get(self.skip_reason, _("No reason given")))

    @property
    def order(self) -> list[int]:
        """The places of the task's items as this person sees them."""
        return self.task.order(self.slot)

    @property
    def shown(self) -> list[Completion]:
        """What this person sees, in order."""
        return self.task.in_order(self.order)

    @property
    def lettered(self) -> list[tuple[str, Completion]]:
        """The same, each with what it is called."""
        return list(zip(LETTERS, self.shown, strict=False))


HISTORY = Q(superseded=True) | Q(retracted=True)  # of an answer: what no longer speaks


class LabelQuerySet(models.QuerySet["Label"]):
    """Labels by whether they still speak."""

    def current(self) -> "LabelQuerySet":
        """The newest revision of each answer, unless it was taken back."""
        return self.filter(superseded__in=NO, retracted__in=NO)

    def of_project(self, project: Project) -> "LabelQuerySet":
        """Labels of one project, newest first, with what a row of a table shows."""
        related = self.select_related("annotator", "task__prompt", "review")
        related = related.prefetch_related("task__items")
        return related.filter(project=project).order_by("-pk")

    def disagreeing(self) -> "LabelQuerySet":
        """Current labels of tasks about which somebody else decided differently."""
        return self.current().filter(disputed__in=YES)

    def bulk_create(self, labels: Iterable["Label"], *rest: Any, **options: Any) -> list["Label"]:  # type: ignore[override]  # noqa: ANN401 - as Django's
        """Store new labels, each with the project of its task."""
        kept = [label.with_project() for label in labels]
        return super().bulk_create(kept, *rest, **options)

    def decides_otherwise(self, task_id: int, verdict: object) -> models.Exists:
        """Whether one of these labels decides a task differently, as the statement that asks finds them."""
        return models.Exists(self.current().filter(task=task_id).exclude(verdict=verdict))

    def mark_disputes(self, tasks: Iterable[int]) -> None:
        """Keep with the current labels of these tasks whether somebody else decides differently now."""
        seen = Q(IsWhole("intake")) | Q(intake=models.OuterRef("intake"))
        others = Label.every.current().filter(seen, task=models.OuterRef("task"))
        otherwise = others.exclude(verdict=models.OuterRef("verdict"))
        human = User.objects.filter(pk=models.OuterRef("annotator"), simulated=False)
        contested = Q(models.Exists(otherwise.of_people())) & Q(models.Exists(human))
        self.current().filter(task__in=tasks).update(
            disputed=models.Exists(otherwise), contested=contested & Q(imported=False)
        )

    def of_people(self) -> "LabelQuerySet":
        """Those that people gave here: no machine, nobody simulated, nothing imported."""
        return self.filter(annotator__simulated=False, imported=False)

    def standing(self, show: str) -> "LabelQuerySet":
        """The labels of one view of the table: current, disagreement, extra or history."""
        if show == "history":
            return self.filter(HISTORY)
        if show == "disagreement":
            return self.disagreeing()
        return self.current().filter(counted__in=NO) if show == "extra" else self.current()

    def of_kind(self, kind: str) -> "LabelQuerySet":
        """Answers to tasks of one kind; no name means all."""
        return self.filter(task__kind=kind) if kind else self

    def by(self, *, annotator: User | None, kind: str) -> "LabelQuerySet":
        """Labels of one annotator (None: all), of people, simulated ones or everybody."""
        labels = self.filter(annotator=annotator) if annotator else self
        if not kind:
            return labels
        alike = User.objects.filter(simulated=kind == "simulated")
        given = labels.order_by().filter(annotator=models.OuterRef("pk"))
        if not alike.filter(models.Exists(given)).exists():
            return labels.none()  # else all of them would be looked at, one by one, for nothing
        return labels.filter(annotator__simulated=kind == "simulated")


class Label(Coming):
    """An answer to a task; append-only: a change is a new revision."""

    task = models.ForeignKey(Task, models.PROTECT, related_name="labels")
    project = models.ForeignKey(
        Project, models.CASCADE, related_name="labels", db_index=False
    )  # its task's, kept for lists
    assignment = models.ForeignKey(Assignment, models.CASCADE, related_name="labels")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="labels")
    client_id = models.UUIDField()
    answer = models.JSONField()  # the kind's Answer, of the items in this order
    order = models.JSONField(default=list)  # the places of the items as they were shown
    verdict = models.CharField(max_length=LONGEST_VERDICT)  # the same for all who mean the same
    rationale = models.TextField(blank=True)
    flags = models.JSONField(default=list)
    visible_ms = models.IntegerField(null=True)
    counted = models.BooleanField(default=False)
    disputed = ToldField(default=False)  # while it is current: see `mark_disputes`
    contested = models.BooleanField(default=False)  # the same among what people gave here
    imported = models.BooleanField(default=False)  # given elsewhere, by whom the file calls so
    form = models.IntegerField(default=0)  # number of the project's form; 0: not known
    superseded = models.BooleanField(default=False)
    retracted = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    objects = WholeManager.from_queryset(LabelQuerySet)()
    every = LabelQuerySet.as_manager()
    replaced: "Label | None" = None  # by store_label: the answer whose place this one took
    adds = False  # by store_label: it was not there before, and takes no other's place

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["annotator", "client_id"], name="label_once"),
            models.UniqueConstraint(
                fields=["assignment"],
                name="one_current_label",
                condition=Q(superseded=False, retracted=False),
            ),
            models.CheckConstraint(
                condition=Q(counted=False) | Q(superseded=False, retracted=False),
                name="label_counted_is_current",
            ),
        ]
        indexes = [
            models.Index(fields=["task", "verdict"], name="label_verdict"),
            models.Index(fields=["project", "id", "intake"], name="label_listed"),
            models.Index(
                fields=["project", "annotator", "superseded", "retracted", "id", "intake"],
                name="label_of_annotator",
            ),
            models.Index(fields=["project", "disputed", "id", "intake"], name="label_disputed"),
            models.Index(fields=["project", "contested", "id", "intake"], name="label_contested"),
            models.Index(fields=["project", "id"], name="label_history", condition=HISTORY),
            models.Index(
                fields=["project", "counted", "superseded", "retracted", "id", "intake"],
                name="label_standing",
            ),
            models.Index(fields=["intake", "id"], name="label_coming", condition=COMING),
        ]

    def save(self, *rest: Any, **options: Any) -> None:  # noqa: ANN401 - as Django's
        """Store it with the project of its task."""
        self.with_project()
        super().save(*rest, **options)

    def with_project(self) -> "Label":
        """The same; its project is its task's."""
        if self.project_id is None:
            self.project_id = self.task.project_id
        return self

    @property
    def asks(self) -> TaskKind:
        """What was asked."""
        return self.task.asks

    @cached_property
    def said(self) -> Any:  # noqa: ANN401 - the kind's Answer
        """The answer, as its kind knows it."""
        return self.asks.Answer.model_validate(self.answer)

    @cached_property
    def in_words(self) -> InWords:
        """The answer for a table."""
        return self.asks.words(self.said)

    @property
    def in_review(self) -> str:
        """How others judge what was written, in words; nothing where nobody is asked or it is accepted."""
        # Asked for a review that there is none of, a template lists all names before it says nothing.
        review: WrittenReview | None = getattr(self, "review", None)
        return review.in_words if review else ""

    @property
    def shown(self) -> list[Completion]:
        """What was seen, in order."""
        return self.task.in_order(self.order)

    @property
    def marked(self) -> list[tuple[str, Completion, Words]]:
        """What was seen: how it was called, and what the answer says of it, if anything."""
        marks, seen = self.in_words.marks, enumerate(self.shown)
        return [(LETTERS[position], one, marks.get(position, "")) for position, one in seen]
