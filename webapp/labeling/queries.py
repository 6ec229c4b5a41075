"""Counts of labelling, for pages."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from webapp.accounts.models import User
from webapp.labeling.models import NO, Assignment, Completion, Label, LabelQuerySet, Task
from webapp.labeling.restrictions import Restriction, restriction_for
from webapp.projects.models import Project, Prompt
from webapp.site.clock import midnight
from webapp.site.columns import all_columns, model_row
from webapp.site.pages import count_up_to, number_up_to
from webapp.site.planned import planned_by_indexes, planned_cursor
from webapp.site.returning import Asking

SHOWN = f"""
    SELECT {all_columns(Task, "task")}, {all_columns(Prompt, "prompt")}, {all_columns(Completion, "completion")}
    FROM labeling_task task
    JOIN projects_prompt prompt ON prompt.id = task.prompt_id
    LEFT JOIN labeling_taskitem item ON item.task_id = task.id
    LEFT JOIN labeling_completion completion ON completion.id = item.completion_id
    WHERE task.id IN ({{keys}}) ORDER BY item.place
"""  # noqa: S608 - names of columns
PROMPT = len(Task._meta.concrete_fields)  # where its columns begin there
ITEM = PROMPT + len(Prompt._meta.concrete_fields)
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
    """The cards with all that they show, in one query."""
    tasks = _shown_tasks([card.task_id for card in cards]) if cards else {}
    for card in cards:
        card.task = tasks[card.task_id]
    return cards


def _shown_tasks(keys: Sequence[int]) -> dict[int, Task]:
    """Tasks with their prompts and what they are about."""
    with planned_cursor() as cursor:
        cursor.execute(SHOWN.format(keys=", ".join(["%s"] * len(keys))), keys)
        rows = cursor.fetchall()
    tasks: dict[int, Task] = {}
    for row in rows:
        of_task, of_prompt, of_item = row[:PROMPT], row[PROMPT:ITEM], row[ITEM:]
        if of_task[0] not in tasks:
            task = tasks[of_task[0]] = cast("Task", model_row(Task, of_task))
            task.prompt, task.completions = cast("Prompt", model_row(Prompt, of_prompt)), []
        if item := model_row(Completion, of_item):
            tasks[of_task[0]].completions.append(item)
    return tasks


def texts_of(cards: Iterable[Assignment]) -> Iterator[str]:
    """All that these cards show."""
    for card in cards:
        yield from card.task.prompt.spoken
        yield from (completion.text for completion in card.task.completions)


def waiting_for(project: Project, annotator: User) -> int:
    """Tasks this person could answer now, those in their hands included; hardly more than WAITING_SHOWN."""
    held = Assignment.objects.held_by(annotator).filter(task__project=project).count()
    return held + open_for(project, annotator)


def open_for(project: Project, annotator: User, most: int = WAITING_SHOWN) -> int:
    """Tasks this person could still be given, up to so many."""
    counted = _counted_open(most, restriction_for(project, annotator))
    with planned_by_indexes():
        [(ahead, behind)] = counted(annotator.pk, project.pk)
    return min(int(ahead) + int(behind), most)


@lru_cache(256)
def _counted_open(most: int, only: Restriction) -> Asking:
    """Open tasks ahead of a person and behind them, up to so many of each."""

    def describe(annotator: int, project: int) -> QuerySet[Project, tuple[int, int]]:
        whose = Project(pk=project), User(pk=annotator), only.matches()
        open_ = Task.every.ahead_of(*whose), Task.every.opened_behind(*whose)
        ahead, behind = (number_up_to(tasks, "project", most) for tasks in open_)
        return Project.objects.filter(pk=project).order_by().values_list(ahead, behind)

    return Asking(describe)


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
    labels = Label.objects.current().filter(annotator=annotator)
    labels = labels.filter(project=project) if project else labels
    # The newest first, up to one of before: nothing else would be found without a look at all of theirs.
    before = labels.filter(created_at__lt=midnight(annotator.time_zone))
    newest = before.order_by("-pk").values("pk")[:1]
    return labels.filter(pk__gt=Coalesce(Subquery(newest), 0)).count()
