"""How the rows of an export are written: JSON lines, Parquet and tables that spreadsheets may open."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from alignment.rows.cells import MARKED, safe_cells

Rows = Sequence[dict[str, Any]]
Write = Callable[[Rows], None]


class Writer(NamedTuple):
    """A way to write rows: the suffix of its files, what opens one, and what `load_dataset` is told of it."""

    suffix: str
    opened: Callable[[Path, pa.Schema], Any]  # a context in which groups of rows are written
    options: Callable[[pa.Schema], Mapping[str, Any]] = lambda _schema: {}


@contextmanager
def _json_lines(path: Path, _schema: pa.Schema) -> Iterator[Write]:
    written = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` makes one for every row
    with path.open("w", encoding="utf-8") as lines:
        yield lambda rows: lines.writelines(f"{written(row)}\n" for row in rows)


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(path, schema, compression="zstd") as table:
        yield lambda rows: table.write_table(pa.Table.from_pylist(rows, schema=schema))


@contextmanager
def _table(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\r\n")  # cells with one of these are quoted
        table.writerow([*schema.names, MARKED])
        yield lambda rows: table.writerows(safe_cells(row, schema.names) for row in rows)


def _as_cells(schema: pa.Schema) -> Mapping[str, Any]:
    """Let `datasets` take each cell as the text that it is: no number, no missing value."""
    features = [{"name": name, "dtype": "string"} for name in (*schema.names, MARKED)]
    return {"keep_default_na": False, "features": features}


JSON_LINES = Writer(".jsonl", _json_lines)
PARQUET = Writer(".parquet", _parquet)
TABLE = Writer(".csv", _table, _as_cells)
