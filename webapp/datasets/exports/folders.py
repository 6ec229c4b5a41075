"""A snapshot as other tools read it: a folder of files with a card and a manifest, zipped.

The same snapshot gives the same bytes, so that a hash identifies what somebody trained on.
"""

import shutil
import zipfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
from django.utils.translation import gettext as _

from alignment.seam.folders import committed, verify
from webapp.datasets.cards import card
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.columns import ColumnGroup, Group, RowGroup
from webapp.datasets.exports.descriptor import ExportFormat, Row
from webapp.datasets.exports.holdings import held
from webapp.datasets.exports.pairs import preferences_in
from webapp.datasets.exports.texts import TOOLS, schema_with_tools
from webapp.datasets.exports.writers import Write
from webapp.datasets.models import Snapshot
from webapp.datasets.snapshots import Entry, entries_of, record_batches
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

    Raises ExportRefusal, and CheckpointError where the snapshot's folder is not what was frozen.
    """
    schema, total = schema_of(form, snapshot), sum(snapshot.manifest["splits"].values())
    verify(snapshot.artifact.path)
    with committed(folder) as aside:
        (aside / form.config).mkdir()
        with ExitStack() as files:
            parts = {
                split: Part(aside / form.config / split, form, schema, files)
                for split in Split.values
            }
            filled = _of_pairs if form.of_pairs else _of_entries
            with closing(filled(parts, snapshot.artifact.path, form)) as filling:
                for passed in filling:
                    yield passed, total
            counts = {split: part.finish() for split, part in parts.items()}
        counts = {split: rows for split, rows in counts.items() if rows}
        if not counts:
            raise ExportRefusal(_nothing(form))
        yield total, total
        for name, text in form.beside(counts).items():
            (aside / name).write_text(text, encoding="utf-8")
        (aside / "README.md").write_text(card(snapshot, form, counts), encoding="utf-8")
    return counts


Parts = Mapping[str, "Part"]  # by split
Filling = Generator[int]


def _of_pairs(parts: Parts, folder: Path, form: ExportFormat) -> Filling:
    """Write the preferences of a snapshot's folder, many at once; how many of its rows are read.

    Those of one batch are written while the next one is made.
    """
    passed = 0
    with ThreadPoolExecutor(1) as aside:
        written: list[Future[None]] = []
        for batch in record_batches(folder):
            groups = list(_groups_of(parts, batch, form))
            for before in written:
                before.result()
            written = [aside.submit(part.write, group) for part, group in groups]
            yield (passed := passed + len(batch))
        for before in written:
            before.result()


def _groups_of(
    parts: Parts, batch: pa.RecordBatch, form: ExportFormat
) -> Iterator[tuple["Part", ColumnGroup]]:
    for split, part in parts.items():
        if form.of_pairs and len(pairs := preferences_in(batch, split)):
            yield part, ColumnGroup(form.of_pairs(pairs), len(pairs))


def _of_entries(parts: Parts, folder: Path, form: ExportFormat) -> Filling:
    """The same of all that labels say, one by one."""
    for passed, entry in enumerate(entries_of(folder, form.reads), 1):
        parts[entry.row["split"]].add(entry)
        if passed % ROWS_PER_GROUP == 0:
            yield passed


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
class Part:
    """The rows of one split, written a group at a time in each way of the format; no file for none."""

    path: Path  # without a suffix
    form: ExportFormat
    schema: pa.Schema
    files: ExitStack  # closes what is opened
    group: list[Row] = field(default_factory=list)
    known: set[bytes] = field(default_factory=set)
    writers: list[Write] = field(default_factory=list)
    written: int = 0

    def add(self, entry: Entry) -> None:
        """Take an entry's rows, each once where the format wants that."""
        once = self.form.once
        for row in self.form.rows(entry):
            if once is None or self._is_new(_digest(once(row))):
                self.group.append(row)
        while len(self.group) >= ROWS_PER_GROUP:
            self.write(RowGroup(self.group[:ROWS_PER_GROUP]))
            self.group = self.group[ROWS_PER_GROUP:]

    def finish(self) -> int:
        """Write what is left; how many rows there are."""
        if self.group:
            self.write(RowGroup(self.group))
        return self.written

    def _is_new(self, said: bytes) -> bool:
        there = len(self.known)
        self.known.add(said)
        return len(self.known) > there

    def write(self, rows: Group) -> None:
        """Write some rows in each way."""
        ways = () if self.writers else self.form.writers
        for way in ways:
            file = way.opened(self.path.with_suffix(way.suffix), self.schema)
            self.writers.append(self.files.enter_context(file))
        for write in self.writers:
            write(rows)
        self.written += len(rows)


def _digest(parts: Iterable[str]) -> bytes:
    """A short name of texts: a split may have a million, and all are remembered."""
    named = blake2b(digest_size=16)
    for part in parts:
        named.update(len(part).to_bytes(8, "big") + part.encode())
    return named.digest()


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
