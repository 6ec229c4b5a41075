"""Tasks about which people disagree, and those that somebody has decided."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from webapp.labeling.models import YES, Label, LabelQuerySet, Task
from webapp.projects.models import Project
from webapp.quality.models import Adjudication
from webapp.quality.sayings import Saying, sayings_of


class DisputedTask(NamedTuple):
    """A task with all that was said of it."""

    task: Task
    sayings: Sequence[Saying]
    decision: Adjudication | None


def labels_in_dispute(*, everybody: bool = False) -> LabelQuerySet:
    """Current labels of people; of machines too for everybody."""
    labels = Label.objects.current()
    return labels if everybody else labels.of_people()


def disputes(project: Project, *, everybody: bool = False, kind: str = "") -> QuerySet[Label]:
    """For each open disagreement its first label, newest first."""
    whose = labels_in_dispute(everybody=everybody)
    marked = Q(disputed__in=YES) if everybody else Q(contested__in=YES)
    decided = Adjudication.objects.standing().filter(task=OuterRef("task"))
    first = ~Exists(whose.filter(task=OuterRef("task"), pk__lt=OuterRef("pk")))
    found = whose.filter(marked, project=project).of_kind(kind)
    return found.filter(first, ~Exists(decided)).order_by("-pk")


def decisions(project: Project) -> QuerySet[Adjudication]:
    """Those that stand, newest first."""
    found = Adjudication.objects.standing().filter(task__project=project)
    return found.select_related("by").order_by("-pk")


def rows_of_tasks(tasks: Sequence[int], decided: Iterable[Adjudication] = ()) -> list[DisputedTask]:
    """These tasks with what was said of them, in this order."""
    found = Task.objects.filter(pk__in=tasks).select_related("prompt").in_bulk()
    labels: dict[int, list[Label]] = {task: [] for task in tasks}
    given = Label.objects.current().filter(task__in=tasks).select_related("annotator")
    for label in given.order_by("pk"):
        labels[label.task_id].append(label)
    made = {one.task_id: one for one in decided}
    return [
        DisputedTask(found[task], sayings_of(found[task].asks, labels[task]), made.get(task))
        for task in tasks
        if task in found
    ]
