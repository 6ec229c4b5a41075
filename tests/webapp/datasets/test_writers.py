"""Rows are written in two steps: made ready by whoever has them, and written by a thread beside it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from webapp.datasets.exports.columns import ColumnGroup, TextColumn
from webapp.datasets.exports.writers import JSON_LINES, PARQUET, TABLE

SCHEMA = pa.schema([("text", pa.string())])


def rows(*texts):
    return ColumnGroup({"text": TextColumn(pa.array(texts))}, len(texts))


@pytest.mark.parametrize("way", [JSON_LINES, PARQUET, TABLE], ids=lambda way: way.suffix)
def test_a_group_is_written_when_its_rest_is_done(tmp_path, way):
    path = tmp_path / "rows"
    with way.opened(path, SCHEMA) as begin:
        begin(rows("one", "two"))
    before = path.read_bytes()
    with way.opened(path, SCHEMA) as begin:
        left = [begin(rows("one", "two")), begin(rows("three"))]
        for rest in left:
            rest()
    content = path.read_bytes()
    assert len(content) > len(before)
    if way is PARQUET:
        assert pq.read_table(path)["text"].to_pylist() == ["one", "two", "three"]
    else:
        assert content.find(b"one") < content.find(b"two") < content.find(b"three")


def test_what_is_left_of_a_table_is_nothing_in_python(tmp_path, monkeypatch):
    """Else the thread that writes it and the one that makes the next would wait for each other."""
    with PARQUET.opened(tmp_path / "rows", SCHEMA) as begin:
        rest = begin(rows("one"))
        monkeypatch.setattr(ColumnGroup, "table", None)
        rest()
    assert pq.read_table(tmp_path / "rows").num_rows == 1
