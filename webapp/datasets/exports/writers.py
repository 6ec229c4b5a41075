"""How the rows of an export are written: JSON lines, Parquet and tables that spreadsheets may open.

A group of rows is written in two steps: what is made ready where it comes from, and the rest, which another thread does.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from alignment.rows.cells import MARKED, safe_cells
from webapp.datasets.exports.columns import ColumnGroup

Rest = Callable[[], object]
Write = Callable[[ColumnGroup], Rest]


class Writer(NamedTuple):
    """A way to write rows: the suffix of its files, what opens one, and what `load_dataset` is told of it."""

    suffix: str
    opened: Callable[[Path, pa.Schema], Any]  # a context in which groups of rows are written
    options: Callable[[pa.Schema], Mapping[str, Any]] = lambda _schema: {}


@contextmanager
def _json_lines(path: Path, _schema: pa.Schema) -> Iterator[Write]:
    with path.open("wb") as file:
        yield lambda group: lambda: file.write("".join(group.lines()).encode())


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(path, schema, compression="zstd") as table:
        yield lambda group: partial(table.write_table, group.table(schema))  # nothing in Python


@contextmanager
def _table(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\r\n")  # cells with one of these are quoted
        names = schema.names
        table.writerow([*names, MARKED])
        yield (
            lambda group: (
                lambda: table.writerows(
                    safe_cells(dict(zip(names, row, strict=True)), names)
                    for row in group.cells(names)
                )
            )
        )


def _as_cells(schema: pa.Schema) -> Mapping[str, Any]:
    """Let `datasets` take each cell as the text that it is: no number, no missing value."""
    features = [{"name": name, "dtype": "string"} for name in (*schema.names, MARKED)]
    return {"keep_default_na": False, "features": features}


JSON_LINES = Writer(".jsonl", _json_lines)
PARQUET = Writer(".parquet", _parquet)
TABLE = Writer(".csv", _table, _as_cells)
