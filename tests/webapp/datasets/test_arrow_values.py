"""Columns that Arrow has and JSON has not: each is read as the nearest that JSON has, or refused by name."""

import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest

from tests.webapp.datasets.test_arrow import written
from tests.webapp.datasets.test_files import look, parquet
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports.arrow_values import rows_as_json

__all__ = ["look"]
DAY = date(2024, 1, 31)
PAIRS = pa.map_(pa.string(), pa.int64())
FIELDS = {"when": pa.timestamp("ns"), "what": pa.string()}
PARTS = pa.list_(pa.struct(FIELDS.items()))
VALUES = [  # and what is read
    (pa.array([DAY]), "2024-01-31"),
    (pa.array([time(1, 2)]), "01:02:00.000000"),
    (pa.array([datetime(2024, 1, 31, tzinfo=UTC)]), "2024-01-31 00:00:00.000000"),
    (pa.array([1], pa.timestamp("ns")), "1970-01-01 00:00:00.000000001"),
    (pa.array([0], pa.timestamp("us", "Mars/Base")), "1970-01-01 00:00:00.000000"),
    (pa.array([2**60], pa.timestamp("s")), f"<value out of range: {2**60}>"),
    (pa.array([DAY, DAY]).dictionary_encode(), "2024-01-31"),
    (pa.array([Decimal("4.00")]), 4),
    (pa.array([Decimal("4.25")]), 4.25),
    (pa.array([1.5], pa.float16()), 1.5),
    (pa.array([b"text"]), "text"),
    (pa.array([b"\xff"]), {"base64": "/w=="}),
    (pa.array([[("a", 1)]], PAIRS), {"a": 1}),
    (pa.array([b"0123456789abcdef"], pa.uuid()), "30313233-3435-3637-3839-616263646566"),
    (pa.array(["{}"], pa.json_()), "{}"),
    (pa.array([[{"when": 1, "what": "x"}]], PARTS), [{"when": "1970-01-01 00:00:00.000000001", "what": "x"}]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), VALUES, ids=[str(one.type)[:40] for one, _ in VALUES])
def test_every_value_is_one_that_json_has(column, value):
    columns = [column[:1], pa.nulls(1, column.type)]
    (row,) = rows_as_json(pa.RecordBatch.from_arrays(columns, names=["there", "missing"]))
    assert row == {"there": value, "missing": None}
    assert json.loads(json.dumps(row)) == row


def test_a_file_of_all_such_columns_is_read_and_shown(look):
    columns = {f"column {n}": one[:1] for n, (one, _) in enumerate(VALUES) if n != 5}
    reading = look(parquet(prompt=["a"], **columns))
    assert (reading.rows, reading.refused, len(reading.columns)) == (1, 0, len(VALUES))
    assert set(reading.unused) == set(columns)  # each is named


def test_messages_of_maps_are_messages(look):
    turns = [[("role", "user"), ("content", "Why?")], [("role", "assistant"), ("content", "So.")]]
    reading = look(parquet(messages=pa.array([turns], pa.list_(pa.map_(pa.string(), pa.string())))))
    (prompt,) = reading.prompts.values()
    assert [answer.text for answer in prompt.answers.values()] == ["So."]


def test_a_map_that_names_something_twice_is_a_bad_row(look):
    reading = look(
        parquet(prompt=["a", "b"], more=pa.array([[("k", 1), ("k", 2)], [("k", 1)]], PAIRS))
    )
    assert (reading.rows, reading.refusals) == (1, ["row 1: the column “k” is in it twice"])


def twice(at_top):
    """A table with one name twice, in its columns or in those of an object."""
    both = [pa.array(["a"]), pa.array(["b"])]
    inner = pa.StructArray.from_arrays(both, ["prompt", "prompt"])
    return pa.Table.from_arrays(
        both if at_top else [both[0], inner], ["prompt", "prompt" if at_top else "x"]
    )


@pytest.mark.parametrize("at_top", [True, False])
def test_no_column_is_lost_to_another_of_its_name(look, at_top):
    into = io.BytesIO()
    pa.parquet.write_table(twice(at_top), into)
    for content in (into.getvalue(), written(twice(at_top))):
        with pytest.raises(ImportRefusal, match="two columns “prompt”"):
            look(content)
