"""The kinds of row that are known: each is a module that says all of itself in `FORMAT`."""

from collections import Counter
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from alignment.rows import (
    answers,
    arena,
    argilla,
    exported,
    helpsteer,
    label_studio,
    labelled,
    oasst,
    open_webui,
    openai_preferences,
    preferences,
    prompts,
    sampled,
    unpaired,
)
from alignment.rows.beside import add_beside
from alignment.rows.descriptor import Format
from alignment.rows.found import BadRow, Columns, Found

GUESS = "guess"
HEADERS = 16  # sets of columns that are remembered: most files have one


FORMATS: Mapping[str, Format] = {  # recognised in this order
    "exported": exported.FORMAT,
    "labelled": labelled.FORMAT,
    "oasst": oasst.FORMAT,
    "sampled": sampled.FORMAT,
    "label_studio": label_studio.FORMAT,
    "argilla": argilla.FORMAT,
    "open_webui": open_webui.FORMAT,
    "openai_preferences": openai_preferences.FORMAT,
    "arena": arena.FORMAT,
    "preferences": preferences.FORMAT,
    "helpsteer": helpsteer.FORMAT,
    "unpaired": unpaired.FORMAT,
    "answers": answers.FORMAT,
    "prompts": prompts.FORMAT,
}


def format_of(row: object) -> str:
    """The first format that knows such a row; nothing where none does."""
    possible = _possible(tuple(row)) if isinstance(row, dict) else FORMATS.items()
    for name, known in possible:
        if known.fits(row):
            return name
    return ""


@lru_cache(maxsize=HEADERS)
def _possible(names: tuple[object, ...]) -> Collection[tuple[str, Format]]:
    """The formats that rows of these columns may be in."""
    there = frozenset(names)
    return tuple((name, known) for name, known in FORMATS.items() if known.may(there))


def row_of(row: object, format: str, found: Found | None = None) -> tuple[str, Found]:
    """What one row becomes, and the format it was read in; raises BadRow. Adds to what was `found`."""
    written = _names_in_file(row)
    small = _renamed(row, written) if written else row
    name = format_of(small) if format == GUESS else format
    if not name:
        raise BadRow(_unknown(row))
    found, known = found or Found(), FORMATS[name]
    fits = format == GUESS or known.fits(small)
    read = known.read(small if fits else row, found)  # names as they are, if refused
    if isinstance(small, dict) and not small.keys() <= read:
        used = {*read}
        add_beside(small, used, found)
        rest = {key for key in small.keys() - used if small[key] is not None}
        found.unused.update(str(written.get(key, key)) for key in rest)
        _count_missing(small, small.keys() - used - rest, found)
    for counted in (found.left_out, found.notes):
        for what in [what for what, number in counted.items() if number <= 0] if counted else ():
            del counted[what]
    return name, found


def in_small_letters(row: object) -> object:
    """The row with its columns in small letters, but for those that would be one."""
    return _renamed(row, _names_in_file(row))


def _renamed(row: object, written: Mapping[Any, Any]) -> object:
    return {n: row[key] for n, key in written.items()} if isinstance(row, dict) and written else row


def _names_in_file(row: object) -> Mapping[Any, Any]:
    return _written(tuple(row)) if isinstance(row, dict) else {}


@lru_cache(maxsize=HEADERS)
def _written(keys: tuple[object, ...]) -> Mapping[Any, Any]:
    """Each column in small letters, unless two would be one, with its name in the file; or nothing."""
    if all(not isinstance(key, str) or key.islower() for key in keys):
        return {}
    times = Counter(str(key).lower() for key in keys)
    return {_small(key) if times[str(key).lower()] == 1 else key: key for key in keys}


def _small(key: object) -> object:
    return key.lower() if isinstance(key, str) else key


def _count_missing(row: Columns, empty: Collection[str], found: Found) -> None:
    """Answers that a row has columns for but nothing in them, unless others hold its answers."""
    if not any(prompt.answers for prompt in found.prompts):
        found.left_out[answers.MISSING] += sum(answers.is_answer(name) for name in empty)


def _unknown(row: object) -> str:
    if isinstance(row, dict):
        return f"no “prompt”, “messages” or “chosen” in it; its columns: {prompts.named(row)}"
    return "not a string, and not an object with a prompt"
