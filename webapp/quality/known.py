"""Checks as the pages of quality show them: known answers, and how they were answered."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import F, QuerySet

from webapp.labeling.models import Gold, Label
from webapp.projects.models import Project
from webapp.quality.sayings import words_by_place
from webapp.site.words import Words


class Check(NamedTuple):
    """A task of known answer, and how many people were right about it since."""

    gold: Gold
    expected: Words
    answered: int
    right: int


def golds_of(project: Project) -> QuerySet[Gold]:
    """All checks of a project, newest first."""
    found = Gold.objects.filter(task__project=project).select_related("task__prompt", "by")
    return found.order_by("-pk")


def golds_answered(golds: Sequence[Gold]) -> list[Check]:
    """These with how they were answered."""
    tasks = [gold.task_id for gold in golds]
    since = Label.objects.current().filter(task__in=tasks, pk__gt=F("task__gold__after"))
    said = Counter(since.values_list("task", "verdict"))
    answered = Counter({gold.task_id: 0 for gold in golds})
    for (task, _verdict), number in said.items():
        answered[task] += number
    return [
        Check(
            gold,
            words_by_place(gold.task.asks, gold.answer, gold.order),
            answered[gold.task_id],
            said[gold.task_id, gold.verdict],
        )
        for gold in golds
    ]
