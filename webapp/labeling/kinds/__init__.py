"""The kinds of task. A new one is a folder here, a template, a test, and a line below."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _
from pydantic import BaseModel

from alignment.rows.found import Answered, Said
from webapp.labeling.kinds import (
    compare,
    converse,
    demonstrate,
    edit,
    flags,
    rank,
    rate,
    review,
    thumbs,
)
from webapp.labeling.kinds.descriptor import LONGEST_VERDICT, TaskKind, check
from webapp.site.errors import Refusal

TASK_KINDS: dict[str, TaskKind] = {
    kind.name: check(kind)
    for kind in (
        compare.KIND,
        rank.KIND,
        rate.KIND,
        thumbs.KIND,
        flags.KIND,
        edit.KIND,
        demonstrate.KIND,
        converse.KIND,
        review.KIND,
    )
}  # fmt: skip


class UnknownKind(Refusal):
    """Something was asked or answered by a kind of task that is not here."""


def kind_named(name: str) -> TaskKind:
    """The kind of this name; raises UnknownKind."""
    if name not in TASK_KINDS:
        raise UnknownKind(
            _("There is no kind of task “{name}” in this installation.").format(name=name)
        )
    return TASK_KINDS[name]


def kind_of_label(said: Said, count: int) -> tuple[TaskKind, BaseModel] | None:
    """The first kind that asks about so many answers and has words for this, with its answer."""
    if isinstance(said, Answered):
        return _kind_that_answered(said, count)
    for kind in TASK_KINDS.values():
        if count in kind.items and (answer := kind.imported(said)) is not None:
            return kind, answer
    return None


def _kind_that_answered(said: Answered, count: int) -> tuple[TaskKind, BaseModel] | None:
    """The kind that wrote an answer, if it is here and the answer is one to so many items."""
    kind = TASK_KINDS.get(said.kind)
    if kind is None or count not in kind.items:
        return None
    try:
        answer = kind.Answer.model_validate_json(said.answer)
        fits = len(kind.verdict(answer, range(count))) <= LONGEST_VERDICT
    except (ValueError, LookupError):  # pydantic's error is a ValueError
        return None
    return (kind, answer) if fits and not kind.objection(answer, [""] * count) else None


@contextmanager
def registered(kind: TaskKind) -> Iterator[TaskKind]:
    """Have a kind more for as long as the block lasts."""
    TASK_KINDS[kind.name] = check(kind)
    try:
        yield kind
    finally:
        del TASK_KINDS[kind.name]
