"""A snapshot as other tools read it: a folder of files with a card and a manifest, zipped.

The same snapshot gives the same bytes, so that a hash identifies what somebody trained on.
"""

import shutil
import zipfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
from django.utils.translation import gettext as _

from alignment.seam.folders import committed, verify
from webapp.datasets.cards import card
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.columns import ColumnGroup
from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.holdings import held
from webapp.datasets.exports.texts import TOOLS, schema_with_tools
from webapp.datasets.exports.writers import Rest, Write
from webapp.datasets.models import Snapshot
from webapp.datasets.snapshots import record_batches
from webapp.projects.models import Split
from webapp.site.threads import short_turns

WRITERS = 2  # files that are written at a time: most of it is packing, outside the interpreter
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip has no earlier time
PACKED = ".parquet"  # inside: packing it once more takes twenty times as long and saves a quarter of a percent


def name_of(snapshot: Snapshot, form: ExportFormat) -> str:
    """What the export is called, on its page and on somebody's disk."""
    return f"snapshot-{snapshot.number}-{form.name}".replace("_", "-")


def write_folder(
    folder: Path, snapshot: Snapshot, form: ExportFormat
) -> Generator[tuple[int, int], None, dict[str, int]]:
    """Fill a committed folder, telling how many of the snapshot's rows are read; how many rows each split got.

    Raises ExportRefusal, and CheckpointError where the snapshot's folder is not what was frozen.
    """
    total = sum(snapshot.manifest["splits"].values())
    with committed(folder, synced=False) as aside:  # until it is zipped
        (aside / form.config).mkdir()
        with _verified(snapshot.artifact.path), ExitStack() as files:
            schema = schema_of(form, snapshot)
            parts = {
                split: Part(split, aside / form.config / split, form, schema, files)
                for split in Split.values
            }
            with short_turns(), closing(_fill(parts, snapshot.artifact.path, form)) as filling:
                for passed in filling:
                    yield passed, total
        counts = {split: part.written for split, part in parts.items() if part.written}
        if not counts:
            raise ExportRefusal(_nothing(form))
        yield total, total
        for name, text in form.beside(counts).items():
            (aside / name).write_text(text, encoding="utf-8")
        (aside / "README.md").write_text(card(snapshot, form, counts), encoding="utf-8")
    return counts


@contextmanager
def _verified(folder: Path) -> Iterator[None]:
    """Check a folder while it is read; raises CheckpointError, whatever else came of reading one that is damaged."""
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(verify, folder)
        try:
            yield
        finally:
            checked.result()


Parts = Mapping[str, "Part"]  # by split


def _fill(parts: Parts, folder: Path, form: ExportFormat) -> Generator[int]:
    """Write what a snapshot's folder holds, many rows at once; how many of them are read.

    Those of one batch are written while the next one is made, several files at a time.
    """
    passed = 0
    with ThreadPoolExecutor(WRITERS) as aside:
        written: list[Future[object]] = []
        for batch in record_batches(folder, form.reads):
            coming = [rest for part in parts.values() for rest in part.begin(batch)]
            for before in written:
                before.result()
            written = [aside.submit(rest) for rest in coming]
            yield (passed := passed + len(batch))
        for before in written:
            before.result()


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

    split: str
    path: Path  # without a suffix
    form: ExportFormat
    schema: pa.Schema
    files: ExitStack  # closes what is opened
    known: set[bytes] = field(default_factory=set)
    writers: list[Write] = field(default_factory=list)
    written: int = 0

    def group_of(self, batch: pa.RecordBatch) -> ColumnGroup:
        """What some rows of a snapshot become here, each once where the format wants that."""
        found = self.form.found(batch, self.split)
        if self.form.once and len(found):
            said = enumerate(self.form.once(found))
            new = [place for place, one in said if self._is_new(_digest(one))]
            found = found.take(pa.array(new, pa.int64()))
        return ColumnGroup(self.form.columns(found) if len(found) else {}, len(found))

    def _is_new(self, said: bytes) -> bool:
        there = len(self.known)
        self.known.add(said)
        return len(self.known) > there

    def begin(self, batch: pa.RecordBatch) -> Sequence[Rest]:
        """Make ready what some rows of a snapshot become here; what is left to be done in each way."""
        rows = self.group_of(batch)
        if not len(rows):
            return ()
        ways = () if self.writers else self.form.writers
        for way in ways:
            file = way.opened(self.path.with_suffix(way.suffix), self.schema)
            self.writers.append(self.files.enter_context(file))
        self.written += len(rows)
        return [write(rows) for write in self.writers]


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
            entry.compress_type = (
                zipfile.ZIP_STORED if path.suffix == PACKED else zipfile.ZIP_DEFLATED
            )
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, into.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
    return archive
