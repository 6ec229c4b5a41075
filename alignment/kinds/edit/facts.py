"""Facts that a model is to say from now on: as rows of a file, or as lines of a form. Torch-free.

A line is `subject | prompt | answer`, and may go on with paraphrases of the prompt and then with neighbours, prompts
whose answers are to stay, several of them apart by `;`. A line that begins with a brace is a JSON object of the same names.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alignment.seam.errors import DataError
from alignment.seam.words import _

MOST = 1000  # facts
FIELDS = ("subject", "prompt", "answer", "paraphrases", "neighbours")
LISTS = ("paraphrases", "neighbours")


class Fact(BaseModel):
    """What a model is to answer to a prompt about a subject; `old` is what it has answered, where that is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(min_length=1, max_length=500)
    prompt: str = Field(min_length=1, max_length=4000)
    answer: str = Field(min_length=1, max_length=500)
    old: str = Field("", max_length=500)
    paraphrases: tuple[str, ...] = Field((), max_length=100)
    neighbours: tuple[str, ...] = Field((), max_length=100)


def facts_in(text: str, place: str) -> list[Fact]:
    """The facts of some lines; raises DataError that names the place and the line."""
    found = list(_read(text, place))
    if len(found) > MOST:
        raise DataError(
            _("{place} has {count:,} facts; at most {most:,} are edited at once.").format(
                place=place, count=len(found), most=MOST
            )
        )
    return found


def facts_of(file: Path) -> list[Fact]:
    """The facts of a file; raises DataError."""
    try:
        return facts_in(file.read_text(encoding="utf-8"), file.name)
    except UnicodeDecodeError as error:
        raise DataError(_("{file} is not text in UTF-8.").format(file=file.name)) from error


def _read(text: str, place: str) -> Iterator[Fact]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            fact = Fact.model_validate(_row(line))
        except (ValueError, ValidationError) as error:
            raise DataError(
                _("{place}, line {number}: {reason}").format(
                    place=place, number=number, reason=_reason(error)
                )
            ) from error
        for prompt in (fact.prompt, *fact.paraphrases):
            if fact.subject not in prompt:
                raise DataError(
                    _("{place}, line {number}: “{prompt}” does not name “{subject}”.").format(
                        place=place, number=number, prompt=prompt, subject=fact.subject
                    )
                )
        yield fact


def _row(line: str) -> object:
    """A line as an object; raises ValueError where it is none."""
    if line.lstrip().startswith("{"):
        return json.loads(line)
    cells = [cell.strip() for cell in line.split("|")]
    if not 3 <= len(cells) <= len(FIELDS):
        raise ValueError(
            _("write subject | prompt | answer, then paraphrases and neighbours if there are any.")
        )
    row = dict(zip(FIELDS, cells, strict=False))
    several = {
        name: [one.strip() for one in row.pop(name).split(";") if one.strip()]
        for name in LISTS
        if name in row
    }
    return row | several


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        row = error.errors()[0]
        return f"{'.'.join(map(str, row['loc']))}: {row['msg']}"
    return str(error)
