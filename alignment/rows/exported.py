"""Our own exports, read back: labels with their sides and strengths, and pairs of rankings.

Consumer: another dashboard, or this one. Recognised by `prompt_key` and `left_won` beside `chosen` and
`rejected`. Loses what an export does not hold: ties, reasons, flags, times, and who was simulated.
"""

from typing import Any

from alignment.rows.descriptor import Format
from alignment.rows.found import (
    BadRow,
    Columns,
    Found,
    ImportedAnswer,
    ImportedLabel,
    ImportedPair,
    ImportedPrompt,
    Preferred,
    Turns,
    content_key,
)
from alignment.rows.oasst import LONGEST_KEY
from alignment.rows.texts import asked, conversation_of, message_by, text_of
from alignment.seam.records import prompt_key
from alignment.seam.words import _

COLUMNS = {
    "prompt", "chosen", "rejected", "prompt_key", "group", "strength", "annotator", "left_won"
}  # fmt: skip


def fits(row: object) -> bool:
    """Whether an export of ours wrote it."""
    return isinstance(row, dict) and row.keys() >= COLUMNS


def knows(row: Columns) -> bool:
    """Whether the key of such a row is its prompt's still; raises BadRow where there is no prompt."""
    return bool(row["prompt_key"] == prompt_key(_turns(row["prompt"], Found())))


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt, two answers and what was said of them; the columns that were used."""
    if not fits(row):
        raise BadRow(
            _("not a row of our exports, which have: {columns}").format(
                columns=", ".join(sorted(COLUMNS))
            )
        )
    turns = _turns(row["prompt"], found)
    if row["prompt_key"] != prompt_key(turns):
        raise BadRow(
            _("“prompt_key” is of another prompt; leave that column out if you changed one")
        )
    chosen, rejected = (_answer(row[name], name, found) for name in ("chosen", "rejected"))
    if chosen.key == rejected.key:
        raise BadRow(_("“chosen” and “rejected” are the same"))
    labels, pairs = _said(row, chosen.key, rejected.key)
    found.prompts.append(ImportedPrompt(turns, (chosen, rejected), pairs, labels))
    return COLUMNS


def _turns(value: object, found: Found) -> Turns:
    """The prompt as the export wrote it: its text is never a transcript."""
    if isinstance(value, str):
        return (message_by("user", text_of(value, "the prompt", blank=bool(value))),)
    return asked(conversation_of(value, "a message", found))


def _answer(value: object, name: str, found: Found) -> ImportedAnswer:
    """One side; it may be without words, since somebody judged it so."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        found.unused.update(f"{name}[].{key}" for key in value[0].keys() - {"role", "content"})
        if value[0].get("role") != "assistant":
            raise BadRow(_("“{name}” is not the assistant's").format(name=name))
        value = value[0].get("content")
    text = text_of(value, f"“{name}”", blank=True)
    return ImportedAnswer(content_key(text), text)


def _said(
    row: Columns, better: str, worse: str
) -> tuple[tuple[ImportedLabel, ...], tuple[ImportedPair, ...]]:
    strength = row["strength"]
    if type(strength) is not int or not 1 <= strength <= 3:
        raise BadRow(_("“strength” is not 1, 2 or 3"))
    annotator, group = (_name(row[name] or "", name) for name in ("annotator", "group"))
    if isinstance(won := row["left_won"], bool):
        items = (better, worse) if won else (worse, better)
        return (ImportedLabel(annotator, items, Preferred(int(not won), strength)),), ()
    if row["left_won"] is not None:
        raise BadRow(_("“left_won” is not true, false or null"))
    return (), (ImportedPair(better, worse, group, strength),)


def _name(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_KEY:
        raise BadRow(
            _("“{name}” is no text of at most {longest_key} characters").format(
                name=name, longest_key=LONGEST_KEY
            )
        )
    return text_of(value, f"“{name}”", blank=True)


FORMAT = Format(
    title=_("Our own export"),
    help=_("labels with their sides; the zip, JSON lines or Parquet."),
    loses=_("what an export does not hold: ties, reasons, flags, times, and who was simulated."),
    fits=fits,
    read=read,
)
