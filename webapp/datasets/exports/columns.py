"""Rows of an export, many at once, as columns in which what many rows share is written once.

They are told as lines of JSON, as a table of Arrow and as cells, in the same letters.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from operator import add
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from alignment.seam.tools import written_json
from webapp.datasets.snapshots import values_in

JSON = pa.json_(pa.string())
_written = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` makes one for every value


class Column(Protocol):
    """The values of a column."""

    def texts(self) -> Iterable[str]:
        """Each as JSON, "" where a row lacks it."""
        ...

    def array(self, field: pa.Field) -> pa.Array:
        """All, as the type of the field."""
        ...


Columns = Mapping[str, Column]


@dataclass(frozen=True)
class TextColumn:
    """Texts that hardly come twice."""

    values: pa.Array

    def texts(self) -> Iterable[str]:
        """Each in quotation marks."""
        return map(encode_basestring, values_in(self.values))

    def array(self, field: pa.Field) -> pa.Array:
        """As they are."""
        return self.values.cast(field.type)


@dataclass(frozen=True)
class AnswerColumn:
    """Texts, each as the one turn of an assistant."""

    values: pa.Array

    def texts(self) -> Iterable[str]:
        """A list of one message each."""
        said = map(encode_basestring, values_in(self.values))
        return [f'[{{"role": "assistant", "content": {one}}}]' for one in said]

    def array(self, field: pa.Field) -> pa.Array:
        """The same; what else messages may have is null."""
        size = len(self.values)
        known = {"role": pa.repeat("assistant", size), "content": self.values}
        parts = list(field.type.value_type)
        columns = [known[one.name] if one.name in known else _nothing(size, one) for one in parts]
        turns = pa.StructArray.from_arrays(columns, fields=parts)
        return pa.ListArray.from_arrays(pa.array(np.arange(size + 1, dtype=np.int32)), turns)


@dataclass(frozen=True)
class DistinctColumn:
    """Values of which many rows have the same: each once, and for each row its place among them."""

    values: Sequence[Any]
    places: pa.Array
    lacking: str = "null"  # what a row says for None; "": nothing

    @classmethod
    def each(cls, values: Iterable[Any]) -> "DistinctColumn":
        """Values that hardly come twice."""
        found = list(values)
        return cls(found, pa.array(np.arange(len(found))))

    def ended(self, ends: Iterable[Any]) -> "DistinctColumn":
        """The value of each row with something of its own behind it."""
        begun = map(self.values.__getitem__, self.places.to_pylist())
        return DistinctColumn.each(map(add, begun, ends))

    def texts(self) -> Iterable[str]:
        """As the row's value is written, which is done once."""
        known = [self.lacking if one is None else _written(one) for one in self.values]
        return map(known.__getitem__, self.places.to_pylist())

    def array(self, field: pa.Field) -> pa.Array:
        """The value of each row; what is of any shape stands in it as JSON."""
        if (stored := _stored(field.type)) == field.type:
            return pa.array(self.values, stored).take(self.places)
        told = [_told(value, field.name) for value in self.values]
        return pa.array(told, stored).take(self.places).cast(field.type)


@dataclass(frozen=True)
class ShortColumn:
    """Names, numbers and the like, of which many rows have the same."""

    values: pa.Array

    def texts(self) -> Iterable[str]:
        """As the row's value is written, which is done once."""
        coded = self.values.dictionary_encode(null_encoding="encode")
        return DistinctColumn(coded.dictionary.to_pylist(), coded.indices).texts()

    def array(self, field: pa.Field) -> pa.Array:
        """As they are."""
        return self.values.cast(field.type)


@dataclass(frozen=True)
class ListColumn:
    """Lists of texts or numbers that hardly come twice."""

    values: pa.Array

    def texts(self) -> Iterable[str]:
        """Each as a list."""
        return map(_written, values_in(self.values))

    def array(self, field: pa.Field) -> pa.Array:
        """As they are."""
        return self.values.cast(field.type)


@dataclass(frozen=True)
class ColumnGroup:
    """Rows as columns."""

    columns: Columns
    size: int

    def __len__(self) -> int:
        return self.size

    def lines(self) -> Iterator[str]:
        """A line of JSON for each row."""
        named = [f"{_written(name)}: %s" for name in self.columns]
        texts = [list(column.texts()) for column in self.columns.values()]
        if all(map(all, texts)):
            form = f"{{{', '.join(named)}}}\n"
            return map(form.__mod__, zip(*texts, strict=True))
        return (_line(named, row) for row in zip(*texts, strict=True))

    def table(self, schema: pa.Schema) -> pa.Table:
        """The same as Arrow."""
        there = self.columns
        arrays = [
            there[one.name].array(one) if one.name in there else _nothing(self.size, one)
            for one in schema
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    def cells(self, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """The cells of each row, in columns of these names: texts as they are, all else as JSON, nothing for none."""
        there = self.columns
        empty = [""] * self.size
        columns = [map(_cell, there[name].texts()) if name in there else empty for name in names]
        return zip(*columns, strict=True)


def _cell(text: str) -> str:
    """What a text of JSON is as a cell."""
    if text.startswith('"'):
        return str(json.loads(text))
    return "" if text == "null" else text


def _line(named: Sequence[str], row: Sequence[str]) -> str:
    """A row that lacks some of its columns."""
    there = [name % text for name, text in zip(named, row, strict=True) if text]
    return f"{{{', '.join(there)}}}\n"


def _nothing(size: int, field: pa.Field) -> pa.Array:
    return pa.nulls(size, _stored(field.type)).cast(field.type)


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
        return None if value is None else written_json(value)
    if isinstance(value, dict):
        return {key: _told(part, key) for key, part in value.items()}
    return [_told(part) for part in value] if isinstance(value, list) else value
