"""The kinds of row that are known: each is a module that says how it is recognised and reads it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from webapp.datasets.imports import answers, exported, oasst, preferences, prompts, sampled
from webapp.datasets.imports.rows import BadRow, Found

GUESS = "guess"


class Format(NamedTuple):
    """A kind of row as people know it, how it is recognised, and what reads it."""

    title: str
    help: str
    fits: Callable[[object], bool]
    read: Callable[[Any, Found], set[str]]  # adds to what was found; the columns it used


FORMATS: Mapping[str, Format] = {  # recognised in this order
    "exported": Format(
        "Our own export",
        "labels with their sides; the zip, JSON lines or Parquet.",
        exported.fits,
        exported.read,
    ),
    "oasst": Format(
        "Open-Assistant trees",
        "a prompt with its answers, turn by turn; people's ranks become pairs.",
        oasst.fits,
        oasst.read,
    ),
    "sampled": Format(
        "Sampling reports",
        "prompt and results with outputs, as Open-Assistant's.",
        sampled.fits,
        sampled.read,
    ),
    "preferences": Format(
        "Preferences",
        "chosen and rejected, with a prompt, or both beginning with it, as in TRL, HH-RLHF and "
        "UltraFeedback binarized.",
        preferences.fits,
        preferences.read,
    ),
    "answers": Format(
        "Prompts with answers",
        "prompt and responses, completions, answer_a and answer_b, response_1 and so on.",
        answers.fits,
        answers.read,
    ),
    "prompts": Format(
        "Prompts",
        'one a row: text, {"prompt": …}, {"messages": […]}, instruction or question.',
        prompts.fits,
        prompts.read,
    ),
}


def format_of(row: object) -> str:
    """The first format that knows such a row; raises BadRow."""
    for name, known in FORMATS.items():
        if known.fits(row):
            return name
    if isinstance(row, dict):
        raise BadRow(
            f"no “prompt”, “messages” or “chosen” in it; its columns: {prompts.named(row)}"
        )
    raise BadRow("not a string, and not an object with a prompt")


def row_of(row: object, format: str) -> tuple[str, Found]:
    """What one row becomes, and the format it was read in; raises BadRow."""
    name = format_of(row) if format == GUESS else format
    found = Found()
    used = FORMATS[name].read(row, found)
    if isinstance(row, dict):
        if not any(prompt.answers for prompt in found.prompts):
            gone = [key for key in row.keys() - used if row[key] is None and answers.is_answer(key)]
            found.left_out[answers.MISSING] += len(gone)
        found.unused.update(str(key) for key in row.keys() - used if row[key] is not None)
    found.left_out, found.notes = +found.left_out, +found.notes
    return name, found
