"""Unpaired preferences: an answer, and whether somebody found it good, or what mark they gave it.

Consumers: TRL's unpaired sets (`prompt`, `completion`, `label`), LLaMA-Factory's (`kto_tag`), tables with a
`rating`. Recognised by a column that is true or false, or a whole number from 1 to 10, beside a prompt with one
answer. Loses: columns it names.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeGuard

from alignment.rows import answers, prompts
from alignment.rows.descriptor import Format
from alignment.rows.found import BadRow, Columns, Found, ImportedLabel, Thumbed
from alignment.rows.judgements import said_by_mark
from alignment.seam.words import _

LABELS = ("label", "kto_tag")
RATING = "rating"
GOOD = {"true": True, "false": False}  # in a cell of a table


def fits(row: object) -> bool:
    """Whether it holds a prompt with one answer, and a label of it; of several it would not say which is good."""
    return _labels_answers(row) and answers.is_single(_unlabelled(row))


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt, its answer and what was said of it; the columns that were used."""
    if not _labels_answers(row):
        raise BadRow(
            _("no answer with a “label” that is true or false; its columns: {named}").format(
                named=prompts.named(row)
            )
        )
    name = _label(row)
    found.blank = True
    used = answers.read(_unlabelled(row), found)
    if len(found.prompts[-1].answers) != 1:
        raise BadRow(_("a “label” of more or less than one answer"))
    (answer,) = found.prompts[-1].answers
    said = said_by_mark(row[name]) if name == RATING else Thumbed(_good(row[name]) is True)
    label = ImportedLabel("", (answer.key,), said)
    found.prompts[-1] = replace(found.prompts[-1], labels=(label,))
    return used | {name}


def _label(row: Columns) -> str:
    found = next((name for name in LABELS if _good(row.get(name)) is not None), "")
    return found or (RATING if _is_mark(row.get(RATING)) else "")


def _is_mark(value: object) -> bool:
    with suppress(BadRow):
        return bool(said_by_mark(value))
    return False


def _labels_answers(row: object) -> TypeGuard[Columns]:
    return isinstance(row, dict) and bool(_label(row)) and answers.fits(_unlabelled(row))


def _unlabelled(row: Columns) -> Columns:
    return {name: value for name, value in row.items() if name not in (*LABELS, RATING)}


def _good(value: object) -> bool | None:
    if isinstance(value, str):
        return GOOD.get(value.strip().lower())
    return value if isinstance(value, bool) else None


FORMAT = Format(
    title=_("Unpaired preferences"),
    help=_(
        "prompt, completion, and a label that is true or false (TRL, LLaMA-Factory), or a rating."
    ),
    loses=_("columns that say nothing of an answer."),
    fits=fits,
    read=read,
    flat=True,
)
