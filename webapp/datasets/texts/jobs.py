"""Texts with classes that were uploaded: read once to their end, then stored as they came."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from alignment.rows.classed import ClassedColumns, classed_rows
from alignment.rows.corpora import BadLine
from alignment.seam.records import ClassedRecord
from webapp.artifacts.models import Artifact
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.files import copied, keep, plain
from webapp.jobs.models import Job
from webapp.jobs.work import Work

STEP = 200  # rows between two words about progress
FIRST, BAD, MOST = 3, 20, 20  # texts, bad rows and classes that are shown
COLUMNS = ("text_column", "class_column", "prompt_column")


def keep_texts(job: Job) -> Work:
    """Count the classes of a file, name its bad rows, and keep it; raises DataError, ImportRefusal."""
    folder = job.folder / "texts"
    path = copied(job, folder)
    size, told = path.stat().st_size, _Told()
    columns = ClassedColumns(*(job.payload[name] for name in COLUMNS))
    for number, row in enumerate(classed_rows(path, columns, told.seen)):
        told.take(row)
        if number % STEP == 0:
            yield min(told.bytes, size), size
    yield size, size
    if not told.classes:
        raise ImportRefusal(_("The file holds no row that can be read: {bad}").format(bad=told.why))
    return partial(_keep, job, folder, told.found)


class _Told:
    """How often each class comes, the beginnings of the first texts, and the first bad rows."""

    def __init__(self) -> None:
        self.classes, self.bytes = Counter[str](), 0
        self.first, self.bad, self.bad_count = list[list[str]](), list[str](), 0

    def seen(self, count: int) -> None:
        """So many bytes were read."""
        self.bytes = count

    def take(self, row: ClassedRecord | BadLine) -> None:
        """One more row."""
        if isinstance(row, BadLine):
            self.bad_count += 1
            self.bad += [plain(f"{row.place}: {row.reason}")] * (len(self.bad) < BAD)
            return
        self.classes.update(row.votes)
        known = plain(row.completion), *map(plain, row.votes)
        self.first += [list(known)] * (len(self.first) < FIRST)

    @property
    def why(self) -> str:
        """The first bad row, or that there is none."""
        return self.bad[0] if self.bad else _("it is empty.")

    @property
    def found(self) -> dict[str, Any]:
        """What a file is and holds, as JSON for its page."""
        commonest = self.classes.most_common(MOST)
        return {
            "texts": self.classes.total(),
            "classes": len(self.classes),
            "bad": self.bad_count,
            "counts": [[plain(name), count] for name, count in commonest],
            "beginnings": self.first,
            "bad_lines": self.bad,
        }


def _keep(job: Job, folder: Path, found: dict[str, Any]) -> Mapping[str, Any]:
    """Store the folder, with what its rows were read by."""
    counts = {name: found[name] for name in ("texts", "classes", "bad")}
    how = {name: job.payload[name] for name in COLUMNS}
    key = keep(job, folder, Artifact.Type.TEXTS, counts | how)
    return found | how | {"artifact": key}
