"""What columns beside the texts say of a row, whatever its format: who judged it, its split, its name, its tags.

They are read after the format, which may have used them in a way of its own.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from alignment.rows.found import BadRow, Columns, Found, ImportedPrompt
from alignment.rows.texts import text_of
from alignment.seam.words import _

ANNOTATORS = ("annotator", "judge", "labeler", "worker")
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
}
KEPT = ("id", "tags")  # with each answer
LONGEST_NAME = 80  # characters of an annotator's
LONGEST_TAGS = 500  # characters, together


def add_beside(row: Columns, used: set[str], found: Found) -> None:
    """Give what was found in a row what other columns say of it; raises BadRow."""
    there = {name for name, value in row.items() if value is not None} - used
    if not there:
        return
    found.prompts[:] = map(_add, found.prompts, _facts(row, there, used, found))


def _facts(row: Columns, there: set[str], used: set[str], found: Found) -> Iterator[dict[str, Any]]:
    """For each prompt the columns that say something of it; those are used."""
    who = annotated_by(row, there)
    for prompt in found.prompts:
        facts: dict[str, Any] = {}
        if who and (prompt.labels or prompt.pairs or prompt.answers):
            facts["annotator"] = annotator_name(row[who], who)
            used.add(who)
        if "split" in there and (split := _split(row["split"])):
            facts["split"] = split
            used.add("split")
        for name in KEPT:
            if name in there and prompt.answers and (kept := _kept(row[name])) is not None:
                facts[name] = kept
                used.add(name)
        yield facts


def annotated_by(row: Columns, there: Collection[str]) -> str:
    """The first of these columns that holds the name of an annotator; lists of models and the like hold none."""
    for name in (one for one in ANNOTATORS if one in there):
        with suppress(BadRow):
            annotator_name(row[name], name)
            return name
    return ""


def _add(prompt: ImportedPrompt, facts: dict[str, Any]) -> ImportedPrompt:
    if not facts:
        return prompt
    who = facts.get("annotator", "")
    about = {name: facts[name] for name in KEPT if name in facts}
    if who and not (prompt.labels or prompt.pairs):
        about["annotator"] = who
    return replace(
        prompt,
        split=facts.get("split", prompt.split),
        labels=tuple(replace(one, annotator=one.annotator or who) for one in prompt.labels),
        pairs=tuple(replace(one, annotator=one.annotator or who) for one in prompt.pairs),
        answers=tuple(replace(one, about={**about, **one.about}) for one in prompt.answers),
    )


def annotator_name(value: object, what: str) -> str:
    """An annotator's pseudonym: text or a number; raises BadRow for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    name = text_of(value, f"“{what}”", blank=True).strip()
    if len(name) > LONGEST_NAME or not (name.isprintable()):
        raise BadRow(
            _("“{name}” is no text of at most {n} characters that can be seen").format(
                name=what, n=LONGEST_NAME
            )
        )
    return name


def _split(value: object) -> str:
    return SPLITS.get(value.strip().lower(), "") if isinstance(value, str) else ""


def _kept(value: object) -> object:
    """A name or a list of tags that is short enough to be kept; else None, and its column is told."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    if isinstance(value, str):
        fits = len(value) <= LONGEST_TAGS and value.isprintable()
        return value if fits else None
    number = isinstance(value, int | float) and abs(value) < 2**53  # so no NaN either
    return value if number else None
