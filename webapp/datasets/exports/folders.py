"""A snapshot as other tools read it: a folder of files with a card and a manifest, zipped.

The same snapshot gives the same bytes, so that a hash identifies what somebody trained on.
"""

import shutil
import zipfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
from django.utils.translation import gettext as _

from alignment.seam.folders import committed
from webapp.datasets.cards import card
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.descriptor import ExportFormat, Row
from webapp.datasets.exports.holdings import held
from webapp.datasets.exports.texts import TOOLS, schema_with_tools
from webapp.datasets.exports.writers import Write
from webapp.datasets.models import Snapshot
from webapp.datasets.snapshots import Entry, entries_of
from webapp.projects.models import Split

ROWS_PER_GROUP = 1000
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip has no earlier time


def name_of(snapshot: Snapshot, form: ExportFormat) -> str:
    """What the export is called, on its page and on somebody's disk."""
    return f"snapshot-{snapshot.number}-{form.name}".replace("_", "-")


def write_folder(
    folder: Path, snapshot: Snapshot, form: ExportFormat
) -> Generator[tuple[int, int], None, dict[str, int]]:
    """Fill a committed folder, telling how many of the snapshot's rows are read; how many rows each split got.

    Raises ExportRefusal.
    """
    counts: dict[str, int] = {}
    schema = schema_of(form, snapshot)
    passed, total = 0, sum(snapshot.manifest["splits"].values())
    with committed(folder) as aside:
        (aside / form.config).mkdir()
        for split in Split.values:
            seen = Passed(form)
            entries = entries_of(snapshot.artifact, split)
            into, rows = aside / form.config / split, seen.rows_of(entries)
            for written in write_split(into, rows, form, schema):
                counts[split] = written
                yield passed + seen.entries, total
            passed += seen.entries
        if not counts:
            raise ExportRefusal(_nothing(form))
        yield total, total
        for name, text in form.beside(counts).items():
            (aside / name).write_text(text, encoding="utf-8")
        (aside / "README.md").write_text(card(snapshot, form, counts), encoding="utf-8")
    return counts


def schema_of(form: ExportFormat, snapshot: Snapshot) -> pa.Schema:
    """The columns of a format for what a snapshot holds."""
    counts = held(snapshot.artifact.path)
    return schema_with_tools(form.schema) if any(counts[name] for name in TOOLS) else form.schema


def _nothing(form: ExportFormat) -> str:
    sentence = _(
        "This snapshot has no pairs, or nothing else that “{title}” holds. Choose another format, or label "
        "more and freeze again."
    )
    return sentence.format(title=form.title)


@dataclass
class Passed:
    """Entries of one split becoming rows, with how many have."""

    form: ExportFormat
    entries: int = 0

    def rows_of(self, entries: Iterable[Entry]) -> Iterator[Row]:
        """Their rows, each once where the format wants that."""
        once, known = self.form.once, set[bytes]()
        for entry in entries:
            self.entries += 1
            for row in self.form.rows(entry):
                if once is not None:
                    said = _digest(once(row))
                    if said in known:
                        continue
                    known.add(said)
                yield row


def _digest(parts: Iterable[str]) -> bytes:
    """A short name of texts: a split may have a million, and all are remembered."""
    named = blake2b(digest_size=16)
    for part in parts:
        named.update(len(part).to_bytes(8, "big") + part.encode())
    return named.digest()


def write_split(
    path: Path, rows: Iterator[Row], form: ExportFormat, schema: pa.Schema
) -> Iterator[int]:
    """Write rows in each way of the format; how many so far. No file for none."""
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    written = 0
    with ExitStack() as files:
        writers: list[Write] = [
            files.enter_context(way.opened(path.with_suffix(way.suffix), schema))
            for way in form.writers
        ]
        while group := list(islice(rows, ROWS_PER_GROUP)):
            for write in writers:
                write(group)
            written += len(group)
            yield written


def zipped(folder: Path) -> Path:
    """The folder as a zip file beside it, the same for the same files."""
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as into:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as source, into.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
    return archive
