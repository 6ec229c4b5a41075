"""Arrow's record batches, as `datasets` saves them on a disk, read a few rows at a time.

Batches that unpack to more than they are on the disk, and columns that name one value many times, are refused:
nothing would bound what they become.
"""

import shutil
import struct
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import BinaryIO

import pyarrow as pa
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alignment.rows.json_lines import Row
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports.arrow_values import check_names, rows_as_json

STREAM, FILE = (
    b"\xff\xff\xff\xff",
    b"ARROW1\0\0",
)  # how either begins; the second one holds the first
BATCH = 64  # rows
DICTIONARY, RECORDS = 2, 3  # kinds of message
HEADER_TYPE, HEADER, DATA, COMPRESSION = 1, 2, 1, 3  # places of fields in tables of a message
DAMAGED = gettext_lazy("The Arrow file is damaged or cut short. Write it again, or as Parquet.")
INSTEAD = gettext_lazy(
    "The Arrow file is compressed, or names one value many times. Save it as Parquet."
)
BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError, struct.error, MemoryError)


class _Clamped:
    """A file that is never asked for more than it has, whatever a length in it says."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.closed = file, False
        self.end = file.seek(0, 2)

    def read(self, size: int = -1) -> bytes:
        left = self.end - self.file.tell()
        return self.file.read(left if size < 0 else min(size, left))

    def tell(self) -> int:
        return self.file.tell()


def rows_of(file: BinaryIO) -> Iterator[Row]:
    """Each row as an object; raises ImportRefusal."""
    with TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        start = len(FILE) if copy.read(len(FILE)) == FILE else 0
        try:
            _check(copy, start)
            batches = _opened(copy, start)
            number = 0
            for batch in iter(lambda: _next(batches), None):
                for first in range(0, batch.num_rows, BATCH):
                    for row in rows_as_json(batch.slice(first, BATCH)):
                        number += 1
                        yield Row(f"row {number}", row)
        except BROKEN as error:
            raise ImportRefusal(DAMAGED) from error


def _opened(file: BinaryIO, start: int) -> pa.RecordBatchStreamReader:
    clamped = _Clamped(file)
    file.seek(start)
    return pa.ipc.open_stream(pa.PythonFile(clamped, mode="r"))


def _next(batches: pa.RecordBatchStreamReader) -> pa.RecordBatch | None:
    try:
        batch = batches.read_next_batch()
    except StopIteration:
        return None
    batch.validate(full=True)
    return batch


def _check(file: BinaryIO, start: int) -> None:
    """Raise ImportRefusal where something in it unpacks, or is used many times."""
    schema = _opened(file, start).schema
    check_names(schema)
    if any(_repeats(field.type) for field in schema):
        raise ImportRefusal(INSTEAD)
    clamped = _Clamped(file)
    file.seek(start)
    messages = pa.ipc.MessageReader.open_stream(pa.PythonFile(clamped, mode="r"))
    for message in iter(lambda: _message(messages), None):
        if _compressed(message.metadata.to_pybytes()):
            raise ImportRefusal(INSTEAD)


def _message(messages: pa.ipc.MessageReader) -> pa.ipc.Message | None:
    try:
        return messages.read_next_message()
    except StopIteration:
        return None


def _repeats(kind: pa.DataType) -> bool:
    """Whether a column of this type may name one stored value many times, at any depth."""
    known = (pa.types.is_dictionary, pa.types.is_run_end_encoded, pa.types.is_union)
    views = ("list_view", "large_list_view", "string_view", "binary_view")
    if any(test(kind) for test in known) or str(kind).startswith(views):
        return True
    inside = [kind.field(place).type for place in range(kind.num_fields)]
    return any(map(_repeats, inside))


def _compressed(message: bytes) -> bool:
    """Whether the buffers of a message are packed: a field of its table of records (Arrow's format, Message.fbs)."""
    (root,) = struct.unpack_from("<I", message, 0)
    place = _field(message, root, HEADER_TYPE)
    kind = message[place] if place else 0
    table = _table(message, root, HEADER)
    if kind == DICTIONARY:
        table = _table(message, table, DATA)
    return kind in (DICTIONARY, RECORDS) and _field(message, table, COMPRESSION) != 0


def _field(message: bytes, table: int, number: int) -> int:
    """Where a field of a table of flatbuffers lies; 0 where it is not there."""
    (back,) = struct.unpack_from("<i", message, table)
    names = table - back
    (size,) = struct.unpack_from("<H", message, names)
    entry = 4 + 2 * number
    if entry >= size:
        return 0
    (offset,) = struct.unpack_from("<H", message, names + entry)
    return table + int(offset) if offset else 0


def _table(message: bytes, table: int, number: int) -> int:
    """Where the table lies that a field of another one points to; raises ValueError where it is not there."""
    place = _field(message, table, number)
    if not place:
        raise ValueError(_("a message without its header"))
    (offset,) = struct.unpack_from("<I", message, place)
    return place + int(offset)
