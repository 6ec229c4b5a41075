"""Texts with classes that were uploaded: read once to their end, then stored as they came."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from alignment.rows.classed import ClassedColumns, classed_rows, span_rows, tagged_rows
from alignment.rows.corpora import BadLine
from alignment.seam.records import ClassedRecord, SpanRecord, TaggedRecord
from webapp.artifacts.models import Artifact
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.files import copied, keep, plain
from webapp.jobs.models import Job
from webapp.jobs.work import Work

STEP = 200  # rows between two words about progress
FIRST, BAD, MOST = 3, 20, 20  # texts, bad rows and classes that are shown
COLUMNS = ("text_column", "class_column", "prompt_column")
HOW = ("head", *COLUMNS)  # settings of a run that a file was looked at by
Row = ClassedRecord | TaggedRecord | SpanRecord
READERS: Mapping[str, Callable[..., Iterator[Row | BadLine]]] = {
    "text": classed_rows,
    "word": tagged_rows,
    "span": span_rows,
}


def keep_texts(job: Job) -> Work:
    """Count the classes of a file, name its bad rows, and keep it; raises DataError, ImportRefusal."""
    folder = job.folder / "texts"
    path = copied(job, folder)
    size, told = path.stat().st_size, _Told()
    columns = ClassedColumns(*(job.payload[name] for name in COLUMNS))
    read = READERS[job.payload.get("head", "text")]
    for number, row in enumerate(read(path, columns, told.seen)):
        told.take(row)
        if number % STEP == 0:
            yield min(told.bytes, size), size
    yield size, size
    if not told.texts:
        raise ImportRefusal(_("The file holds no row that can be read: {bad}").format(bad=told.why))
    return partial(_keep, job, folder, told.found)


class _Told:
    """How often each class comes, the beginnings of the first texts, and the first bad rows."""

    def __init__(self) -> None:
        self.classes, self.texts, self.bytes = Counter[str](), 0, 0
        self.first, self.bad, self.bad_count = list[list[str]](), list[str](), 0

    def seen(self, count: int) -> None:
        """So many bytes were read."""
        self.bytes = count

    def take(self, row: Row | BadLine) -> None:
        """One more row."""
        if isinstance(row, BadLine):
            self.bad_count += 1
            self.bad += [plain(f"{row.place}: {row.reason}")] * (len(self.bad) < BAD)
            return
        text, said = shown(row)
        self.texts += 1
        self.classes.update(() if isinstance(row, SpanRecord) else said)
        self.first += [[plain(text), plain(" ".join(said))]] * (len(self.first) < FIRST)

    @property
    def why(self) -> str:
        """The first bad row, or that there is none."""
        return self.bad[0] if self.bad else _("it is empty.")

    @property
    def found(self) -> dict[str, Any]:
        """What a file is and holds, as JSON for its page."""
        commonest = self.classes.most_common(MOST)
        return {
            "texts": self.texts,
            "classes": len(self.classes),
            "bad": self.bad_count,
            "counts": [[plain(name), count] for name, count in commonest],
            "beginnings": self.first,
            "bad_lines": self.bad,
        }


def shown(row: Row) -> tuple[str, list[str]]:
    """A row's text, and what is said of it."""
    if isinstance(row, TaggedRecord):
        return " ".join(row.words), list(row.tags)
    if isinstance(row, SpanRecord):
        return f"{row.text} {row.question}", [row.text[row.start : row.end]]
    return row.completion, list(row.votes)


def _keep(job: Job, folder: Path, found: dict[str, Any]) -> Mapping[str, Any]:
    """Store the folder, with what its rows were read by."""
    counts = {name: found[name] for name in ("texts", "classes", "bad")}
    how = {name: job.payload.get(name, "") for name in HOW}
    key = keep(job, folder, Artifact.Type.TEXTS, counts | how)
    return found | how | {"artifact": key}
