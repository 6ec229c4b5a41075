"""Answers in the letters of somebody else's card: A is what stood first there."""

from collections.abc import Sequence

from webapp.labeling.kinds.descriptor import LETTERS, TaskKind
from webapp.site.words import Words


def words_in_letters(
    kind: TaskKind, answer: object, order: Sequence[int], *, seen: Sequence[int]
) -> Words:
    """An answer that was given to items in one order, in words for who sees them in another one.

    What a kind says beside items stands beside their letters; without that, its words name no sides.
    """
    said = kind.words(kind.Answer.model_validate(answer))
    if len(order) < 2 or not said.marks:
        return said.text
    marks = {seen.index(order[position]): mark for position, mark in said.marks.items() if mark}
    return ", ".join(f"{LETTERS[position]}: {marks[position]}" for position in sorted(marks))
