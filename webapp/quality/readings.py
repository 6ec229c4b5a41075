"""Labels as they are measured: task by task, with what each says of sides and lengths."""

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from django.db.models.functions import Length

from alignment.seam.records import PairRecord, PromptRecord
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.descriptor import LETTERS, Asked
from webapp.labeling.models import Gold, Label, Task, TaskItem
from webapp.projects.models import Project

TASKS = 500  # read at once
KEPT = 4096  # answers whose choice is kept


class Origin(StrEnum):
    """Who gave a label; one origin is never measured with another."""

    PEOPLE = "people"
    SIMULATED = "simulated"
    IMPORTED = "imported"


class LabelReading(NamedTuple):
    """One label: by whom, and what it says."""

    label: int
    task: int
    kind: str
    size: int  # items of its task
    annotator: int
    simulated: bool
    imported: bool
    counted: bool
    verdict: str
    answer: object
    order: Sequence[int]
    visible_ms: int | None

    @property
    def origin(self) -> Origin:
        """Whose it is."""
        if self.imported:
            return Origin.IMPORTED
        return Origin.SIMULATED if self.simulated else Origin.PEOPLE

    @property
    def chosen(self) -> int | None:
        """The position of the answer that it prefers to the one other; None where it prefers none."""
        if self.size != 2 or self.kind not in TASK_KINDS:
            return None
        return position_preferred(self.kind, json.dumps(self.answer))


COLUMNS = (
    "pk", "task", "task__kind", "task__size", "annotator", "annotator__simulated", "imported", "counted",
    "verdict", "answer", "order", "visible_ms",
)  # fmt: skip


class KnownAnswer(NamedTuple):
    """What is known of a task before anybody answers."""

    verdict: str
    preferred: int | None  # of two items the better one, by its place
    after: int  # the last label that was given before it was known


class AnsweredTask(NamedTuple):
    """A task's labels, how long its items are (characters by place), and what they are held against."""

    readings: list[LabelReading]
    lengths: list[int]
    gold: KnownAnswer | None = None
    before: Mapping[int, str] | None = None  # of a silent repeat: what each person said at first


@lru_cache(maxsize=KEPT)
def position_preferred(kind: str, answer: str) -> int | None:
    """Which of two items an answer (as JSON) of this kind prefers, by position; None where it is not one of these."""
    asked = Asked(PromptRecord(key="", messages=()), LETTERS[:2])
    said = TASK_KINDS[kind].Answer.model_validate_json(answer)
    records = TASK_KINDS[kind].records(asked, said)
    pairs = [one for one in records if isinstance(one, PairRecord)]
    between = len(pairs) == 1 and {pairs[0].chosen, pairs[0].rejected} == {*LETTERS[:2]}
    return LETTERS.index(pairs[0].chosen) if between else None


def tasks_answered(project: Project) -> Iterator[list[AnsweredTask]]:
    """All tasks with labels, some at a time; empty lists stand for tasks without any."""
    last = 0
    while tasks := _tasks_after(project, last):
        readings = Label.objects.current().filter(task__in=tasks).order_by("task", "pk")
        lengths = _lengths(tasks)
        rows = map(LabelReading._make, readings.values_list(*COLUMNS))
        by_task = groupby(rows, key=attrgetter("task"))
        golds, repeats = _golds(tasks), _repeats(tasks)
        yield [
            AnsweredTask(list(found), lengths.get(task, []), golds.get(task), repeats.get(task))
            for task, found in by_task
        ]
        last = tasks[-1]


def _tasks_after(project: Project, last: int) -> list[int]:
    tasks = Task.objects.filter(project=project, pk__gt=last).order_by("pk")
    return list(tasks.values_list("pk", flat=True)[:TASKS])


def _lengths(tasks: Sequence[int]) -> dict[int, list[int]]:
    items = TaskItem.objects.filter(task__in=tasks).order_by("task", "place")
    found: dict[int, list[int]] = {}
    for task, length in items.values_list("task", Length("completion__text")):
        found.setdefault(task, []).append(length)
    return found


def _golds(tasks: Sequence[int]) -> dict[int, KnownAnswer]:
    found = Gold.objects.filter(task__in=tasks).select_related("task")
    return {gold.task_id: KnownAnswer(gold.verdict, _preferred(gold), gold.after) for gold in found}


def _preferred(gold: Gold) -> int | None:
    if gold.task.size != 2 or gold.task.kind not in TASK_KINDS:
        return None
    position = position_preferred(gold.task.kind, json.dumps(gold.answer))
    return None if position is None else int(gold.order[position])


def _repeats(tasks: Sequence[int]) -> dict[int, dict[int, str]]:
    """Of silent repeats what each person said of the task that is repeated."""
    repeated = Task.objects.filter(pk__in=tasks, repeat_of__isnull=False)
    pairs = repeated.values_list("pk", "repeat_of")
    originals = {pk: original for pk, original in pairs if original}
    given = Label.objects.current().filter(task__in=set(originals.values()))
    said: dict[int, dict[int, str]] = {}
    for task, annotator, verdict in given.values_list("task", "annotator", "verdict"):
        said.setdefault(task, {})[annotator] = verdict
    return {task: said.get(original, {}) for task, original in originals.items()}
