"""“All labels with everything” of ours, read back: each label as its kind of task wrote it.

Consumer: another dashboard, or this one. Recognised by `kind`, `answer` and `items` beside `messages` and
`prompt_key`. Loses: ids, who wrote the answers, who was simulated, and labels in whose place another answer speaks.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from alignment.rows.cells import MARKED, unmarked
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.exported import name_of, strength_of
from alignment.rows.found import (
    Answered,
    BadRow,
    Columns,
    Found,
    ImportedAnswer,
    ImportedLabel,
    ImportedPair,
    ImportedPrompt,
    Noted,
    content_key,
)
from alignment.rows.texts import asked, conversation_of, text_of
from alignment.seam.records import prompt_key
from alignment.seam.words import _

COLUMNS = {"messages", "prompt_key", "kind", "answer", "items", "annotator", "source", "group"}
NOTES = ("rationale", "flags", "visible_ms", "created_at", "overruled", "standing")
LISTS = ("items", "flags")  # JSON in the cells of a table
RANKED = "ranked"  # the kind of what a file once said of two answers
OVERRULED = "labels in whose place another answer speaks, which is taken instead"
UNACCEPTED = "written answers that wait for their reviewers, or were rejected by them"
EQUAL = "labels of answers of which two are equal"
MOST_ITEMS = 100
MOST_FLAGS, LONGEST_FLAG = 100, 100
LONGEST_TIME = 2**31 - 1  # ms


def fits(row: object) -> bool:
    """Whether that export of ours wrote it."""
    return isinstance(row, dict) and row.keys() >= COLUMNS


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt, its answers and a label of them; the columns that were used."""
    if not fits(row):
        raise BadRow(
            _("not a row of “All labels with everything”, which has: {columns}").format(
                columns=", ".join(sorted(COLUMNS))
            )
        )
    used = COLUMNS | {name for name in (*NOTES, MARKED) if name in row}
    row = _of_table(row) if MARKED in row else row
    turns = asked(conversation_of(_json_of(row, "messages"), "a message", found))
    if row["prompt_key"] != prompt_key(turns):
        raise BadRow(
            _("“prompt_key” is of another prompt; leave that column out if you changed one")
        )
    texts = _texts(row, "items")
    answers = tuple(ImportedAnswer(content_key(text), text) for text in dict.fromkeys(texts))
    labels, pairs = _said(row, tuple(map(content_key, texts)), found)
    found.prompts.append(ImportedPrompt(turns, answers, pairs, labels))
    return used


def _of_table(row: Columns) -> Columns:
    """A row of text as it was before it became one."""
    cells: dict[str, Any] = unmarked({name: str(cell or "") for name, cell in row.items()})
    for name in (*LISTS, "visible_ms", "overruled"):
        cells[name] = _json_of(cells, name) if cells.get(name) else None
    return cells


def _json_of(row: Columns, name: str) -> Any:  # noqa: ANN401 - whatever the text holds
    try:
        return json.loads(text_of(row[name], f"“{name}”"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadRow):
            raise
        raise BadRow(_("“{name}” is not JSON").format(name=name)) from error


def _texts(row: Columns, name: str) -> list[str]:
    """A list of texts, which may be empty."""
    value = row.get(name) or []
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise BadRow(
            _("“{name}” is no list of at most {most} texts").format(name=name, most=MOST_ITEMS)
        )
    return [text_of(one, f"“{name}”", blank=True) for one in value]


def _said(
    row: Columns, items: tuple[str, ...], found: Found
) -> tuple[tuple[ImportedLabel, ...], tuple[ImportedPair, ...]]:
    annotator = name_of(row["annotator"] or "", "annotator")
    if row["kind"] == RANKED:
        return (), (_pair(row, items, annotator),)
    if row.get("overruled"):
        found.left_out[OVERRULED] += 1
        return (), ()
    if row.get("standing", "accepted") not in ("accepted", "", None):
        found.left_out[UNACCEPTED] += 1
        return (), ()
    if len(set(items)) < len(items):
        found.left_out[EQUAL] += 1
        return (), ()
    kind, answer = (text_of(row[name], f"“{name}”") for name in ("kind", "answer"))
    label = ImportedLabel(annotator, items, Answered(kind, answer), _noted(row))
    return (label,), ()


def _pair(row: Columns, items: tuple[str, ...], annotator: str) -> ImportedPair:
    said = _json_of(row, "answer")
    if len(items) != 2 or items[0] == items[1] or not isinstance(said, Mapping):
        raise BadRow(_("a ranking of two answers that does not say which is better"))
    group = name_of(row["group"] or "", "group")
    return ImportedPair(*items, group, strength_of(said), annotator, _moment(row))


def _noted(row: Columns) -> Noted:
    """What somebody set beside an answer, and when."""
    flags = _texts(row, "flags")
    if len(flags) > MOST_FLAGS or any(len(flag) > LONGEST_FLAG for flag in flags):
        raise BadRow(_("too many flags, or one that is too long"))
    rationale = text_of(row.get("rationale") or "", "“rationale”", blank=True)
    return Noted(rationale, tuple(flags), _visible(row), _moment(row))


def _visible(row: Columns) -> int | None:
    value = row.get("visible_ms")
    if value is not None and (type(value) is not int or not 0 <= value <= LONGEST_TIME):
        raise BadRow(_("“visible_ms” is no time in milliseconds"))
    return value


def _moment(row: Columns) -> datetime | None:
    value = row.get("created_at")
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(text_of(value, "“created_at”"))
    except ValueError as error:
        raise BadRow(_("“created_at” is no time")) from error
    if moment.tzinfo is None:
        raise BadRow(_("“created_at” is no time"))
    return moment


FORMAT = Format(
    title=_("All labels of our own export"),
    help=_("“All labels with everything”: the zip, its JSON lines, Parquet or CSV."),
    loses=_(
        "ids, who wrote the answers, who was simulated, and labels in whose place another answer speaks."
    ),
    fits=fits,
    read=read,
    may=with_columns(COLUMNS),
)
