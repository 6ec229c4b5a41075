"""Our own exports, read back: labels with their sides and strengths, and pairs of rankings.

Consumer: another dashboard, or this one. Recognised by `prompt_key` and `left_won` beside `chosen` and
`rejected`, which hold the prompt where no column does. A table's cells are text, some behind a mark.
Loses what such an export does not hold: ties, reasons, flags, times, and who was simulated.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from alignment.rows.cells import MARKED, unmarked
from alignment.rows.descriptor import Format, with_columns
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
from alignment.rows.prompts import with_tools
from alignment.rows.texts import asked, conversation_of, message_by, text_of
from alignment.seam.records import prompt_key
from alignment.seam.words import _

SIDES = ("chosen", "rejected")
COLUMNS = {*SIDES, "prompt_key", "group", "strength", "annotator", "left_won"}
PROMPT = ("prompt", "messages", "tools")  # of which a table has the first two
MOST_LOOKED = 20_000_000  # characters, of all prompts that are tried of one row
BETWEEN = "\n\n"  # a prompt and an answer in one text


def fits(row: object) -> bool:
    """Whether an export of ours wrote it."""
    return isinstance(row, dict) and row.keys() >= COLUMNS


def knows(row: Columns) -> bool:
    """Whether the key of such a row is its prompt's still; raises BadRow where there is no prompt."""
    return bool(row["prompt_key"] == prompt_key(_parts(row, Found())[0]))


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt, two answers and what was said of them; the columns that were used."""
    if not fits(row):
        raise BadRow(
            _("not a row of our exports, which have: {columns}").format(
                columns=", ".join(sorted(COLUMNS | {"prompt"}))
            )
        )
    used = COLUMNS | {name for name in (MARKED, *PROMPT) if name in row}
    row = _of_table(row) if MARKED in row else row
    turns, sides = _parts(row, found)
    if row["prompt_key"] != prompt_key(turns):
        raise BadRow(
            _("“prompt_key” is of another prompt; leave that column out if you changed one")
        )
    chosen, rejected = (_answer(side, name, found) for side, name in zip(sides, SIDES, strict=True))
    if chosen.key == rejected.key:
        raise BadRow(_("“chosen” and “rejected” are the same"))
    labels, pairs = _said(row, chosen.key, rejected.key)
    found.prompts.append(ImportedPrompt(turns, (chosen, rejected), pairs, labels))
    return used


def _of_table(row: Columns) -> Columns:
    """A row of text as it was before it became one."""
    cells: dict[str, Any] = unmarked({name: str(cell or "") for name, cell in row.items()})
    for name in ("strength", "left_won"):
        with suppress(ValueError):
            cells[name] = json.loads(cells[name]) if cells[name] else None
    if cells.get("messages"):
        with suppress(ValueError, RecursionError):
            cells["prompt"] = json.loads(cells["messages"])
    return cells


def _parts(row: Columns, found: Found) -> tuple[Turns, list[Any]]:
    """The prompt of a row with its tools, and its two sides."""
    turns, sides = _told(row, found)
    return with_tools(row, turns, set()), sides


def _told(row: Columns, found: Found) -> tuple[Turns, list[Any]]:
    sides = [row[name] for name in SIDES]
    if row.get("prompt") is not None:
        return _turns(row["prompt"], found), sides
    if all(isinstance(side, list) and len(side) > 1 for side in sides):
        if sides[0][:-1] != sides[1][:-1]:
            raise BadRow(_("“chosen” and “rejected” part before their last turn"))
        return _turns(sides[0][:-1], found), [side[-1:] for side in sides]
    if all(isinstance(side, str) for side in sides):
        return _told_apart(row, sides, found)
    raise BadRow(_("there is no “prompt”, and “chosen” and “rejected” do not begin with one"))


def _told_apart(row: Columns, sides: list[str], found: Found) -> tuple[Turns, list[Any]]:
    """Texts that begin with their prompt: the key says where it ends."""
    for end in _ends(sides[0], sides[1]):
        turns = _turns(sides[0][:end], found)
        if row["prompt_key"] == prompt_key(turns):
            return turns, [side[end + len(BETWEEN) :] for side in sides]
    raise BadRow(_("“chosen” and “rejected” do not begin with the prompt of “prompt_key”"))


def _ends(one: str, other: str) -> Iterator[int]:
    """Where a prompt at the beginning of both may end, as far as there is time to look."""
    pairs = enumerate(zip(one, other, strict=False))
    shared = next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
    end = one.find(BETWEEN, 1, shared)
    looked = 0
    while end >= 0 and looked < MOST_LOOKED:
        yield end
        looked += end
        end = one.find(BETWEEN, end + 1, shared)


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
    strength = strength_of(row)
    annotator, group = (name_of(row[name] or "", name) for name in ("annotator", "group"))
    if isinstance(won := row["left_won"], bool):
        items = (better, worse) if won else (worse, better)
        return (ImportedLabel(annotator, items, Preferred(int(not won), strength)),), ()
    if row["left_won"] is not None:
        raise BadRow(_("“left_won” is not true, false or null"))
    return (), (ImportedPair(better, worse, group, strength),)


def strength_of(row: Columns) -> int:
    """How much better the better answer is; raises BadRow."""
    strength: object = row.get("strength")
    if type(strength) is not int or not 1 <= strength <= 3:
        raise BadRow(_("“strength” is not 1, 2 or 3"))
    return strength


def name_of(value: object, name: str) -> str:
    """A pseudonym or the name of a group; raises BadRow for what is none."""
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
    may=with_columns(COLUMNS),
)
