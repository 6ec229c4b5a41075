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
from alignment.seam.tools import written_json

JSON = pa.json_(pa.string())
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
        yield lambda rows: table.write_table(_table_of(rows, schema))


def _table_of(rows: Rows, schema: pa.Schema) -> pa.Table:
    """The rows as a table; what is of any shape stands in it as JSON, which `datasets` opens as it was."""
    if "tools" not in schema.names:
        return pa.Table.from_pylist(rows, schema=schema)
    plain = pa.schema([field.with_type(_stored(field.type)) for field in schema])
    return pa.Table.from_pylist([_told(row) for row in rows], schema=plain).cast(schema)


def _stored(kind: pa.DataType) -> pa.DataType:
    """A type with text where it has JSON."""
    if kind == JSON:
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_stored(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_stored(field.type)) for field in kind.fields])
    return kind


def _told(value: Any, name: str = "") -> Any:  # noqa: ANN401 - whatever a row holds
    """A row with texts of JSON in place of tools and of the arguments of calls."""
    if name in ("tools", "arguments"):
        return written_json(value)
    if isinstance(value, dict):
        return {key: _told(part, key) for key, part in value.items()}
    return [_told(part) for part in value] if isinstance(value, list) else value


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
