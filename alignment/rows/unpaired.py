"""Unpaired preferences: an answer, and whether somebody found it good.

Consumers: TRL's unpaired sets (`prompt`, `completion`, `label`), LLaMA-Factory's (`kto_tag`). Recognised by a
column that is true or false beside a prompt with one answer. Loses: columns it names.
"""

from dataclasses import replace
from typing import Any

from alignment.rows import answers, prompts
from alignment.rows.descriptor import Format
from alignment.rows.found import BadRow, Columns, Found, ImportedLabel, Thumbed
from alignment.seam.words import _

LABELS = ("label", "kto_tag")
GOOD = {"true": True, "false": False}  # in a cell of a table


def fits(row: object) -> bool:
    """Whether it holds a prompt with one answer, and a label of it; of several it would not say which is good."""
    if not isinstance(row, dict) or not _label(row):
        return False
    rest = _unlabelled(row)
    return answers.fits(rest) and answers.is_single(rest)


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt, its answer and whether it is good; the columns that were used."""
    if not fits(row):
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
    label = ImportedLabel("", (answer.key,), Thumbed(_good(row[name]) is True))
    found.prompts[-1] = replace(found.prompts[-1], labels=(label,))
    return used | {name}


def _label(row: Columns) -> str:
    return next((name for name in LABELS if _good(row.get(name)) is not None), "")


def _unlabelled(row: Columns) -> Columns:
    return {name: value for name, value in row.items() if name not in LABELS}


def _good(value: object) -> bool | None:
    if isinstance(value, str):
        return GOOD.get(value.strip().lower())
    return value if isinstance(value, bool) else None


FORMAT = Format(
    title=_("Unpaired preferences"),
    help=_("prompt, completion, and a label that is true or false, as in TRL and LLaMA-Factory."),
    loses=_("columns that say nothing of an answer."),
    fits=fits,
    read=read,
)
