"""Counts of labelling, for pages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from django.db.models import Exists, OuterRef

from webapp.accounts.models import User
from webapp.labeling.models import NO, Assignment, Label, LabelQuerySet, Task, TaskItem
from webapp.projects.models import Project
from webapp.site.clock import midnight
from webapp.site.pages import count_up_to

WAITING_SHOWN = 1000  # counting stops here: a page needs no exact number beyond


@dataclass(frozen=True)
class Progress:
    """How far a project's tasks and labels are; each is counted when it is asked for, up to a limit."""

    project: Project

    @cached_property
    def tasks(self) -> int:
        """All of them."""
        return count_up_to(self.project.tasks.all())

    @cached_property
    def open(self) -> int:
        """With a free place."""
        return self._tasks("open")

    @cached_property
    def leased(self) -> int:
        """Somebody works on it."""
        return self._tasks("leased")

    @cached_property
    def done(self) -> int:
        """Every place answered."""
        return self._tasks("done")

    @cached_property
    def skipped(self) -> int:
        """By so many that nobody is asked any more."""
        return self._tasks("skipped")

    @cached_property
    def labels(self) -> int:
        """Current, extras included."""
        return count_up_to(self.current)

    @cached_property
    def extras(self) -> int:
        """Current, not counted."""
        return count_up_to(self.current.filter(counted__in=NO))

    @cached_property
    def simulated(self) -> int:
        """Current, by simulated annotators."""
        return count_up_to(self.current.filter(annotator__simulated=True))

    @cached_property
    def annotators(self) -> int:
        """Who gave a current label."""
        mine = self.current.filter(annotator=OuterRef("pk"))
        return count_up_to(User.objects.filter(Exists(mine)))

    @property
    def current(self) -> LabelQuerySet:
        """The labels that speak."""
        return Label.objects.current().filter(project=self.project)

    def _tasks(self, state: str) -> int:
        return count_up_to(self.project.tasks.of_state(state))


def with_items(cards: list[Assignment]) -> list[Assignment]:
    """The cards with all that they show, in one query; a task without items is read when asked."""
    rows = TaskItem.objects.filter(task__in=[card.task_id for card in cards])
    by_task: dict[int, list[TaskItem]] = {}
    for item in rows.select_related("completion", "task__prompt"):
        by_task.setdefault(item.task_id, []).append(item)
    for card in cards:
        if items := by_task.get(card.task_id):
            card.task = items[0].task
            card.task.completions = [item.completion for item in items]
    return cards


def texts_of(cards: Iterable[Assignment]) -> Iterator[str]:
    """All that these cards show."""
    for card in cards:
        yield from card.task.prompt.spoken
        yield from (completion.text for completion in card.task.completions)


def waiting_for(project: Project, annotator: User) -> int:
    """Tasks this person could answer now, those in their hands included; hardly more than WAITING_SHOWN."""
    held = Assignment.objects.held_by(annotator).filter(task__project=project).count()
    return held + open_for(project, annotator)


def open_for(project: Project, annotator: User) -> int:
    """Tasks this person could still be given; at most WAITING_SHOWN."""
    open_ = Task.every.open_for(project, annotator).order_by()  # counted in any order
    return open_[:WAITING_SHOWN].count()


def newest_act(annotator: User, project: Project) -> UUID | None:
    """What an undo would take back: the name of this person's last label or skip that stands."""
    labels = Label.objects.current().filter(annotator=annotator, project=project)
    skips = Assignment.objects.filter(
        annotator=annotator,
        task__project=project,
        state=Assignment.State.SKIPPED,
        skip_id__isnull=False,
    )
    label = labels.order_by("-pk").values_list("pk", "client_id").first() or (0, None)
    skipped = skips.order_by("-skip_order").values_list("skip_after", "skip_id").first()
    return skipped[1] if skipped and skipped[0] >= label[0] else label[1]


def labelled_today(annotator: User, project: Project | None = None) -> int:
    """Current labels this person gave since the midnight where they are, in one project or all."""
    begin = midnight(annotator.time_zone)
    labels = Label.objects.current().filter(annotator=annotator, created_at__gte=begin)
    return (labels.filter(project=project) if project else labels).count()
