"""Parquet, read a few rows at a time, however much its pages unpack to."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from django.utils.translation import gettext_lazy

from alignment.rows.json_lines import Row
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports.arrow_values import check_names, rows_as_json
from webapp.datasets.imports.streams import too_large

MAGIC = b"PAR1"
FEWEST, BATCH = 16, 64  # rows
HELD = 64_000_000  # bytes of a batch, at most about this
DAMAGED = gettext_lazy(
    "The Parquet file is damaged or cut short. Write it again, or choose JSON lines."
)
BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError, ValueError, OverflowError)


def rows_of(file: BinaryIO, limit: int) -> Iterator[Row]:
    """Each row as an object; raises ImportRefusal past the limit."""
    with TemporaryFile() as copy:  # Parquet is read to and fro
        shutil.copyfileobj(file, copy)
        yield from _rows(copy, limit)


def _rows(file: BinaryIO, limit: int) -> Iterator[Row]:
    with _understood():
        table = pq.ParquetFile(file)
        check_names(table.schema_arrow)
    metadata = table.metadata
    largest = _largest(metadata, limit)
    batch = max(FEWEST, min(BATCH, HELD // max(1, largest)))
    batches = table.iter_batches(batch_size=batch)
    number, left = 0, limit
    while True:
        with _understood():
            part = next(batches, None)
            rows = rows_as_json(part) if part is not None else []
        if part is None:
            return
        left -= part.nbytes
        if left < 0:  # a value is stored once and used by many rows
            raise ImportRefusal(too_large(limit))
        for row in rows:
            number += 1
            yield Row(f"row {number}", row)


def _largest(metadata: pq.FileMetaData, limit: int) -> int:
    """The size of the largest column of a group of rows; raises ImportRefusal past the limit."""
    total, largest = 0, 1
    for group in range(metadata.num_row_groups):
        columns = metadata.row_group(group)
        for place in range(columns.num_columns):
            column = columns.column(place)
            size = max(column.total_uncompressed_size, column.num_values)
            total, largest = total + size, max(largest, size)
    if total > limit:
        raise ImportRefusal(too_large(limit))
    return largest


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise ImportRefusal(DAMAGED) from error
