"""The kinds of task. A new one is a folder here, a template, a test, and a line below."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _
from pydantic import BaseModel

from alignment.rows.found import Said
from webapp.labeling.kinds import compare, demonstrate, edit, flags, rank, rate, review, thumbs
from webapp.labeling.kinds.descriptor import TaskKind, check
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
    for kind in TASK_KINDS.values():
        if count in kind.items and (answer := kind.imported(said)) is not None:
            return kind, answer
    return None


@contextmanager
def registered(kind: TaskKind) -> Iterator[TaskKind]:
    """Have a kind more for as long as the block lasts."""
    TASK_KINDS[kind.name] = check(kind)
    try:
        yield kind
    finally:
        del TASK_KINDS[kind.name]
