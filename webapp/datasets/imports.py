"""Files that people bring: kept aside, looked at, and taken in as a whole when they say so."""

import gzip
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from alignment.records import prompt_key
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.importers import (
    FORMATS,
    BadRow,
    ImportedPrompt,
    Line,
    lines_of,
    row_of,
    rows_of,
)
from webapp.datasets.services import import_prompts
from webapp.jobs.models import Job
from webapp.jobs.work import Work
from webapp.projects.models import Project

GUESS = "guess"
GUESS_LINES = 50
GZIP = b"\x1f\x8b"
STEP = 200  # lines between two words about progress
REFUSALS = 50  # kept for the page
FIRST = 5  # rows shown before they are taken in
SHOWN = 600  # characters of a text


class FileFormat(NamedTuple):
    """A format as people know it."""

    title: str
    help: str


TITLES = {
    "prompts": FileFormat(
        "Prompts",
        'one a line: a JSON string, {"prompt": …} or {"messages": […]}.',
    ),
    "oasst": FileFormat(
        "Open-Assistant trees",
        "a prompt with its answers; people's ranks become pairs.",
    ),
}


@dataclass
class Reading:
    """What was found in a file."""

    format: str
    rows: list[ImportedPrompt] = field(default_factory=list)
    refused: int = 0
    refusals: list[str] = field(default_factory=list)  # the first ones

    def add(self, number: int, row: ImportedPrompt | BadRow) -> None:
        """Keep a row, or why it is none."""
        if not isinstance(row, BadRow):
            self.rows.append(row)
            return
        self.refused += 1
        if len(self.refusals) < REFUSALS:
            self.refusals.append(f"line {number}: {row}")


class Bounded:
    """A file that refuses to be read past so many bytes, whatever its packed size promised."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.file, self.left, self.limit = file, limit, limit

    def readline(self, size: int) -> bytes:
        """The next line or the first `size` bytes of it; raises ImportRefusal past the bound."""
        line = self.file.readline(size)
        self.left -= len(line)
        if self.left < 0:
            raise ImportRefusal(
                f"Unpacked, the file is larger than {self.limit / 1e6:,.0f} MB. Split it."
            )
        return line


def keep_upload(file: UploadedFile) -> str:
    """Store a file aside; the name under which it is kept says nothing about it."""
    name = uuid4().hex
    path = upload_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb") as kept:
            for chunk in file.chunks():
                kept.write(chunk)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return name


def upload_path(name: str) -> Path:
    """Where a file kept aside lies."""
    return Path(settings.STORE) / "uploads" / name


def preview(job: Job) -> Work:
    """Look at a file: what it is, how much of it is new, and every line that cannot be read."""
    reading = yield from read(job.payload["upload"], job.payload["format"])
    result = summary(job.project, reading)
    return lambda: result


def import_file(job: Job) -> Work:
    """Take in a file as a whole, or refuse it as a whole."""
    reading = yield from read(job.payload["upload"], job.payload["format"])
    if reading.refused:
        raise ImportRefusal(f"Nothing was imported: {reading.refusals[0]}.")
    return partial(_take_in, job, reading)


def _take_in(job: Job, reading: Reading) -> dict[str, Any]:
    added = import_prompts(job.project, reading.rows)
    path = upload_path(job.payload["upload"])
    transaction.on_commit(partial(path.unlink, missing_ok=True))
    return {"format": reading.format, "rows": len(reading.rows)} | added._asdict()


def read(upload: str, format: str) -> Generator[tuple[int, int], None, Reading]:
    """Read a file kept aside, saying how many of its bytes are done; raises ImportRefusal."""
    path = upload_path(upload)
    size = path.stat().st_size
    with _opened(path) as (lines, packed):
        first = list(islice(lines, GUESS_LINES))
        reading = Reading(guess(first) if format == GUESS else format)
        for count, (number, row) in enumerate(rows_of(_chained(first, lines), reading.format)):
            reading.add(number, row)
            if count % STEP == 0:
                yield packed.tell(), size
    yield size, size
    if not reading.rows and not reading.refused:
        raise ImportRefusal("The file has no rows to import.")
    return reading


def _chained(first: list[Line], rest: Iterator[Line]) -> Iterator[Line]:
    yield from first
    yield from rest


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Iterator[Line], BinaryIO]]:
    """The lines of a file, unpacked where it is packed, and the file as it lies on disk."""
    with path.open("rb") as packed:
        is_gzip = packed.peek(2).startswith(GZIP)
        file = gzip.GzipFile(fileobj=packed) if is_gzip else packed
        try:
            yield lines_of(Bounded(file, settings.IMPORT_LIMIT)), packed
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ImportRefusal("The compressed file is damaged or cut short.") from error


def guess(lines: list[Line]) -> str:
    """The format in which most of these lines can be read; prompts when none can."""
    return max(FORMATS, key=lambda name: sum(_readable(line, name) for line in lines))


def _readable(line: Line, format: str) -> bool:
    try:
        row_of(line.content, format)
    except BadRow:
        return False
    return True


def summary(project: Project, reading: Reading) -> dict[str, Any]:
    """What taking the file in would bring, as JSON for its page."""
    keys = {prompt_key(row.messages) for row in reading.rows}
    there = set(project.prompts.values_list("key", flat=True))
    return {
        "format": reading.format,
        "title": TITLES[reading.format].title,
        "rows": len(reading.rows),
        "prompts": len(keys),
        "new": len(keys - there),
        "answers": len({answer.key for row in reading.rows for answer in row.answers}),
        "refused": reading.refused,
        "refusals": reading.refusals,
        "first": [_shown(row) for row in reading.rows[:FIRST]],
    }


def _shown(row: ImportedPrompt) -> dict[str, Any]:
    ranked = sorted((a for a in row.answers if a.rank is not None), key=lambda answer: answer.rank)
    best = ranked[0] if ranked else next(iter(row.answers), None)
    return {
        "prompt": row.messages[-1].content[:SHOWN],
        "turns": len(row.messages),
        "answers": len(row.answers),
        "best": best.text[:SHOWN] if best else "",
    }
