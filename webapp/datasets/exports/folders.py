"""A snapshot as other tools read it: a folder of files with a card and a manifest, zipped.

The same snapshot gives the same bytes, so that a hash identifies what somebody trained on.
"""

import json
import shutil
import zipfile
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq
from django.utils.translation import gettext as _

from alignment.seam.folders import committed
from alignment.seam.records import LabelRecord
from webapp.datasets.cards import card
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.descriptor import ExportFormat, Row
from webapp.datasets.models import Snapshot
from webapp.datasets.snapshots import labels_of
from webapp.projects.models import Split

ROWS_PER_GROUP = 1000
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip has no earlier time


def name_of(snapshot: Snapshot, form: ExportFormat) -> str:
    """What the export is called, on its page and on somebody's disk."""
    return f"snapshot-{snapshot.number}-{form.name}".replace("_", "-")


def write_folder(
    folder: Path, snapshot: Snapshot, form: ExportFormat
) -> Generator[tuple[int, int], None, dict[str, int]]:
    """Fill a committed folder; how many rows each split got. Raises ExportRefusal."""
    counts: dict[str, int] = {}
    with committed(folder) as aside:
        (aside / form.config).mkdir()
        for split in Split.values:
            path = aside / form.config / split
            for written in write_split(path, labels_of(snapshot.artifact, split), form):
                counts[split] = written
                yield (done := sum(counts.values())), max(done, snapshot.pairs)
        if not counts:
            raise ExportRefusal(
                _(
                    "This snapshot has no pairs, or nothing else that this format holds: ties and both-bad "
                    "make no pairs. Label more, and freeze again."
                )
            )
        (aside / "README.md").write_text(card(snapshot, form, counts), encoding="utf-8")
    return counts


def write_split(path: Path, labels: Iterator[LabelRecord], form: ExportFormat) -> Iterator[int]:
    """Write what labels become as JSON lines and as Parquet; how many rows so far. No file for none."""
    rows = (row for label in labels for row in form.rows(label))
    first = next(rows, None)
    if first is None:
        return
    written = 0
    group: list[Row] = []
    with (
        path.with_suffix(".jsonl").open("w", encoding="utf-8") as lines,
        pq.ParquetWriter(path.with_suffix(".parquet"), form.schema, compression="zstd") as table,
    ):
        for row in chain([first], rows):
            if len(group) == ROWS_PER_GROUP:
                written += _flush(group, lines, table, form.schema)
                yield written
                group = []
            group.append(row)
        written += _flush(group, lines, table, form.schema)
    yield written


def _flush(group: list[Row], lines: TextIO, table: pq.ParquetWriter, schema: pa.Schema) -> int:
    lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in group)
    table.write_table(pa.Table.from_pylist(group, schema=schema))
    return len(group)


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
