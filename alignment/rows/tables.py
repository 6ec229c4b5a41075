"""Tables that people bring: CSV, TSV, JSON lines or Parquet, packed by gzip or not, read row by row.

A row is a mapping by column. One that cannot be read is named by its line, and by its column where one is to
blame, and the next one is read; of a table whose quotation marks do not close nothing can be told apart.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from alignment.rows.corpora import (
    LINES,
    PARQUET,
    WIDE,
    BadLine,
    Limited,
    Seen,
    check_there,
    content_of,
    parquet_rows,
)
from alignment.rows.found import BadRow
from alignment.rows.json_lines import rows_of
from alignment.seam.errors import DataError
from alignment.seam.words import _

LONGEST_CELL = 16_000_000  # characters
SEPARATORS = {".csv": ",;\t", ".tsv": "\t"}
NAMED = 5  # bad lines in a refusal
csv.field_size_limit(LONGEST_CELL)


class TableRow(NamedTuple):
    """A row: where it stands, and its values."""

    place: str
    values: Mapping[str, Any]


class Table(NamedTuple):
    """A file, the columns that are read of it, and how much it may unpack to."""

    path: Path
    columns: Sequence[str]
    limit: int = 1 << 34  # bytes


Rows = Iterator[TableRow | BadLine]


def table_rows(table: Table, seen: Seen = lambda _bytes: None) -> Rows:
    """The rows of a table in their order; tells how many bytes of the file were read.

    Raises DataError where the file is of no known kind or damaged, lacks a column, or unpacks to too much.
    """
    with table.path.open("rb") as packed:
        bounded = Limited(content_of(packed), table.limit, lambda: seen(packed.tell()))
        file = io.BufferedReader(bounded, 1 << 16)
        yield from _reader_of(file.peek(8), table.path)(file, table)


def _reader_of(head: bytes, path: Path) -> Callable[[BinaryIO, Table], Rows]:
    """What reads a file that begins so and has this name; raises DataError."""
    names = [suffix.lower() for suffix in path.suffixes]
    if head.startswith(WIDE):
        raise DataError(_("The file is UTF-16 text; save it as UTF-8."))
    if not head:
        raise DataError(_("The file is empty."))
    if head.startswith(PARQUET):
        return _of_parquet
    if set(names) & set(LINES):
        return _of_json_lines
    if set(names) & SEPARATORS.keys():
        return _of_text
    raise DataError(
        _(
            "“{name}” does not say what is in it; name it .csv, .tsv, .jsonl or .parquet, and .gz after "
            "that where it is packed."
        ).format(name=path.name)
    )


def _of_parquet(file: BinaryIO, table: Table) -> Rows:
    rows = parquet_rows(file, table.columns, table.limit)
    for number, values in enumerate(rows, start=1):
        yield TableRow(f"row {number}", values)


def _of_json_lines(file: BinaryIO, _table: Table) -> Rows:
    for place, value in rows_of(file):
        if isinstance(value, BadRow):
            yield BadLine(place, str(value))
        elif isinstance(value, dict):
            yield TableRow(place, value)
        else:
            yield BadLine(place, _("not an object with columns"))


def _of_text(file: BinaryIO, table: Table) -> Rows:
    """The rows of a table of text, each at the line that it begins on."""
    text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
    suffix = next(one.lower() for one in table.path.suffixes if one.lower() in SEPARATORS)
    first, blank = text.readline(LONGEST_CELL), 0
    while first and not first.strip():
        first, blank = text.readline(LONGEST_CELL), blank + 1
    lines = csv.reader(
        _before(first, text), delimiter=_separator(first, SEPARATORS[suffix]), strict=True
    )
    begins = blank + 1
    try:
        header = [name.strip() for name in next(lines, [])]
        check_there(table.columns, header)
        begins = blank + lines.line_num + 1
        for cells in lines:
            if cells:
                yield _row(f"line {begins}", header, cells, table.columns)
            begins = blank + lines.line_num + 1
    except csv.Error as error:
        raise DataError(
            _(
                "The table is damaged at line {number} ({error}): a quotation mark opens or closes in the "
                "wrong place, and what follows cannot be told apart."
            ).format(number=begins, error=error)
        ) from error


def _before(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _separator(first: str, known: str) -> str:
    """What stands most often between the names of the columns."""
    return max(known, key=first.count)


def _row(
    place: str, header: Sequence[str], cells: Sequence[str], columns: Sequence[str]
) -> TableRow | BadLine:
    if len(cells) != len(header):
        reason = _("{cells} cells, where the first row names {columns} columns")
        return BadLine(place, reason.format(cells=len(cells), columns=len(header)))
    values = dict(zip(header, cells, strict=True))
    for column in columns:
        if re.search("[\ud800-\udfff]", values[column]):
            return BadLine(f"{place}, column {column}", _("not UTF-8 text"))
    return TableRow(place, {column: values[column] or None for column in columns})


def refusal(bad: Sequence[BadLine], count: int) -> DataError:
    """What is wrong with rows of a file, and where; the first of so many are named."""
    named = "; ".join(f"{one.place}: {one.reason}" for one in bad[:NAMED])
    return DataError(
        _(
            "Rows of the file cannot be read, {n:,} in all ({named}); mend them, or leave them out."
        ).format(n=count, named=named)
    )
