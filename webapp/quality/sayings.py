"""Answers in terms of a task's items instead of sides: what two people mean reads alike, whatever each of them saw."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from webapp.labeling.kinds.descriptor import TaskKind
from webapp.labeling.letters import words_in_letters
from webapp.labeling.models import Label
from webapp.site.words import Words


class Saying(NamedTuple):
    """What several people said of a task alike."""

    words: Words
    labels: list[Label]

    @property
    def first(self) -> Label:
        """The label that is taken where this is decided."""
        return self.labels[0]


def words_by_place(kind: TaskKind, answer: object, order: Sequence[int]) -> Words:
    """An answer in words, its items called by their places: A is the first, however it was shown."""
    return words_in_letters(kind, answer, order, seen=range(len(order)))


def sayings_of(kind: TaskKind, labels: Iterable[Label]) -> list[Saying]:
    """The labels of a task by what they say, what most say first."""
    by_verdict = sorted(labels, key=lambda label: (label.verdict, label.pk))
    groups = [list(found) for _, found in groupby(by_verdict, key=attrgetter("verdict"))]
    groups.sort(key=lambda group: (-len(group), group[0].pk))
    return [
        Saying(words_by_place(kind, group[0].answer, group[0].order), group) for group in groups
    ]
