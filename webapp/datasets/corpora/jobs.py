"""A corpus that was uploaded: read once to its end, then stored as it came."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from alignment.rows.corpora import TEXT, BadLine, Layout, Passages, passages_of
from webapp.artifacts.models import Artifact
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.files import copied, keep, plain
from webapp.jobs.models import Job
from webapp.jobs.work import Work

STEP = 200  # passages between two words about progress
FIRST, BAD = 3, 20  # documents and bad lines that are shown


def keep_corpus(job: Job) -> Work:
    """Count what a file holds, name its bad lines, and keep it; raises DataError, ImportRefusal."""
    folder = job.folder / "corpus"
    path = copied(job, folder)
    size, counted, told = path.stat().st_size, Counter[str](), _Told()
    how = Layout(job.payload["document"], job.payload["column"] or TEXT)
    for number, passage in enumerate(read(path, how, counted)):
        told.take(passage, counted)
        if number % STEP == 0:
            yield min(counted["bytes"], size), size
    yield size, size
    if not counted["documents"]:
        raise ImportRefusal(
            _("The file holds no document that can be read: {bad}").format(bad=told.why)
        )
    return partial(_keep, job, folder, told.found(counted))


def read(path: Path, how: Layout, counted: Counter[str]) -> Passages:
    """The passages of a file, while the bytes that were read are noted."""

    def seen(count: int) -> None:
        counted["bytes"] = count

    return passages_of(path, how, seen)


class _Told:
    """The beginnings of the first documents and the first bad lines."""

    def __init__(self) -> None:
        self.first, self.bad, self.began = list[str](), list[str](), True

    def take(self, passage: Any, counted: Counter[str]) -> None:  # noqa: ANN401 - of passages_of
        """One more passage or bad line."""
        if isinstance(passage, BadLine):
            counted["bad"] += 1
            self.bad += [plain(f"{passage.place}: {passage.reason}")] * (len(self.bad) < BAD)
            return
        if self.began:
            self.first += [plain(passage.text)] * (len(self.first) < FIRST)
        self.began = passage.last
        counted["characters"] += len(passage.text)
        counted["documents"] += passage.last

    @property
    def why(self) -> str:
        """The first bad line, or that there is nothing."""
        return self.bad[0] if self.bad else _("it is empty.")

    def found(self, counted: Counter[str]) -> dict[str, Any]:
        """What a file is and holds, as JSON for its page."""
        counts = {name: counted[name] for name in ("documents", "characters", "bad")}
        return counts | {"beginnings": self.first, "bad_lines": self.bad}


def _keep(job: Job, folder: Path, found: dict[str, Any]) -> Mapping[str, Any]:
    """Store the folder; the upload is not needed any more."""
    counts = {name: found[name] for name in ("documents", "characters", "bad")}
    how = {name: job.payload[name] for name in ("document", "column")}
    key = keep(job, folder, Artifact.Type.CORPUS, counts | how)
    return found | how | {"artifact": key}
