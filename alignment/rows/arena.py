"""Battles of an arena as tables hold them: two answers, and a column for each way it can end.

Consumer: LMSYS's table of human preferences (`winner_model_a`, `winner_model_b`, `winner_tie`). Recognised by
those columns; battles with a `winner` are read as prompts with answers. Loses: nothing but columns it names.
"""

import json
from contextlib import suppress
from typing import Any

from alignment.rows.answers import EQUAL, answer_of
from alignment.rows.cells import whole_number
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.found import (
    BadRow,
    Columns,
    Found,
    ImportedLabel,
    ImportedPrompt,
    Preferred,
    Said,
    Tied,
)
from alignment.rows.prompts import named
from alignment.rows.texts import message_by, text_of
from alignment.seam.words import _

TEXTS = ("prompt", "response_a", "response_b")
ENDS = ("winner_model_a", "winner_model_b", "winner_tie")
YES = (1, True, "true", "True")


def fits(row: object) -> bool:
    """Whether it holds two answers and how the battle ended."""
    return isinstance(row, dict) and all(row.get(name) is not None for name in (*TEXTS, *ENDS))


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt with two answers and what was said of them; the columns that were used."""
    if not fits(row):
        raise BadRow(
            _("no battle of two answers in it; its columns: {named}").format(named=named(row))
        )
    found.blank = True
    asked, *texts = (_only(row, name) for name in TEXTS)
    turns = (message_by("user", text_of(asked, "the prompt")),)
    used = {*TEXTS, *ENDS}
    both = []
    for text, side in zip(texts, "ab", strict=True):
        about = {"model": row.get(f"model_{side}")}
        used.update({f"model_{side}"} & row.keys())
        both.append(
            answer_of(text_of(text, f"response_{side}", blank=True), turns, "", found, about)
        )
    labels: tuple[ImportedLabel, ...] = ()
    if both[0].key == both[1].key:
        found.left_out[EQUAL] += 1
        both = both[:1]
    else:
        labels = (ImportedLabel("", (both[0].key, both[1].key), _said(row)),)
    found.prompts.append(ImportedPrompt(turns, tuple(both), labels=labels))
    return used


def _only(row: Columns, name: str) -> object:
    """The text of a column: alone, or the only one of a list; raises BadRow for several turns."""
    value = row[name]
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise BadRow(_("the two conversations have several turns, and part at their first"))
    return value[0]


def _said(row: Columns) -> Said:
    ended = [name for name in ENDS if whole_number(row[name]) in YES]
    if len(ended) != 1:
        raise BadRow(_("it ended in no way, or in several"))
    return Tied() if ended == ["winner_tie"] else Preferred(ENDS.index(ended[0]))


FORMAT = Format(
    title=_("Battles of an arena"),
    help=_(
        "prompt, response_a and response_b, with winner_model_a, winner_model_b and winner_tie."
    ),
    loses=_("columns that say nothing of an answer."),
    fits=fits,
    read=read,
    may=with_columns({*TEXTS, *ENDS}),
    flat=True,
)
