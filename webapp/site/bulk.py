"""Many new rows at once, by the quickest way that the database has: COPY, or prepared INSERTs of many rows each."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import CharField, DateTimeField, Field, JSONField, Model, TextField
from django.db.models.expressions import DatabaseDefault

NONE: Mapping[Any, object] = {}
AT_ONCE = 1 << 18  # characters that are given to a driver together, or one row
TOGETHER = 256  # rows of an INSERT on SQLite: a row takes two thirds of what it takes alone, and no thread waits
FEWER = 16  # times fewer rows in those that do not fill such a statement
TEXTS = CharField, TextField, JSONField
ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}  # in COPY, in this order
EMPTY: Mapping[type, str] = {dict: "{}", list: "[]"}  # as JSON
Prepare = Callable[[Any], object]


class WrittenJson(NamedTuple):
    """A value of a column of JSON, in the text that is stored."""

    text: str


def insert_values(
    model: type[Model], names: Sequence[str], rows: Sequence[tuple[Any, ...]], **same: object
) -> Sequence[int]:
    """Write new rows of a model by the values of some columns, and of those that are the same in all; their ids.

    Every other column has its default or is left to the database. Raises IntegrityError as `insert_rows`.
    """
    if not rows:
        return []
    varying, beside = _fields_written(model, tuple(names), frozenset(same))
    rest = {one: _driven(one, same.get(one.attname, one.get_default())) for one in beside}
    numbers = _free_ids(model, len(rows))
    columns = _columns(varying, zip(*rows, strict=True))
    _write(model, [_own_id(model), *varying], [numbers, *columns], rest)
    return numbers


def _own_id(model: type[Model]) -> "Field[Any, Any]":
    return next(field for field in model._meta.concrete_fields if field.primary_key)


@cache
def _fields_written(
    model: type[Model], names: tuple[str, ...], same: frozenset[str]
) -> tuple[Sequence["Field[Any, Any]"], Sequence["Field[Any, Any]"]]:
    """The fields of these names, and all others that the database does not fill itself."""
    fields = {field.attname: field for field in model._meta.concrete_fields}
    others = [one for name, one in fields.items() if name not in ("id", *names)]
    beside = [one for one in others if one.attname in same or not one.has_db_default()]
    return [fields[name] for name in names], beside


def _driven(field: "Field[Any, Any]", value: object) -> object:
    """What the driver is given for a value."""
    way = _prepared(field)
    return way(value) if way else field.get_db_prep_save(value, connection)


def _columns(
    fields: Iterable["Field[Any, Any]"], columns: Iterable[Sequence[Any]]
) -> list[Sequence[Any]]:
    """What the driver is given for each value of each field."""
    return [
        [*map(way, column)] if (way := _prepared(field)) else column
        for field, column in zip(fields, columns, strict=True)
    ]


def insert_rows(rows: Sequence[Model]) -> None:
    """Write new rows of one model, which have their ids then; raises IntegrityError where one is there already.

    The caller's transaction is the writer: ids are taken from the table's own sequence. A column that no row gives a
    value is left to the database.
    """
    if not rows:
        return
    fields = [one for one in _fields(rows[0]) if not _left_to_database(one, rows)]
    for row, number in zip(rows, _free_ids(type(rows[0]), len(rows)), strict=True):
        row.pk = number
    _write(type(rows[0]), fields, _columns(fields, zip(*map(_read(fields), rows), strict=True)))
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def _fields(row: Model) -> Sequence["Field[Any, Any]"]:
    return row._meta.concrete_fields


def _left_to_database(field: "Field[Any, Any]", rows: Sequence[Model]) -> bool:
    if not field.has_db_default():
        return False
    left = {isinstance(getattr(row, field.attname), DatabaseDefault) for row in rows}
    if len(left) > 1:
        raise ValueError(f"{field.name} is given by some rows only")
    return left == {True}


def _free_ids(model: type[Model], number: int) -> Sequence[int]:
    """So many ids that nobody else will have."""
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            named = "nextval((SELECT pg_get_serial_sequence(%s, 'id')))"  # is looked up once
            together = f"string_agg({named}::text, ',')"  # a driver reads one text sooner than many numbers
            cursor.execute(f"SELECT {together} FROM generate_series(1, %s)", [table, number])  # noqa: S608 - our own
            ((found,),) = cursor.fetchall()
            return [*map(int, found.split(","))]
        known = "SELECT seq FROM sqlite_sequence WHERE name = %s"
        cursor.execute(known, [model._meta.db_table])
        last = (cursor.fetchone() or (0,))[0]
        return range(last + 1, last + 1 + number)


def _read(fields: Iterable["Field[Any, Any]"]) -> Callable[[Model], tuple[Any, ...]]:
    """What gives the values of these fields, which are several, of a row."""
    return attrgetter(*(field.attname for field in fields))


def _prepared(field: "Field[Any, Any]") -> Prepare | None:
    """How a value becomes the driver's; None where it is that already."""
    if isinstance(field, JSONField):
        return _as_json
    if isinstance(field, DateTimeField):
        return connection.ops.adapt_datetimefield_value
    return None


def _as_json(value: object) -> str | None:
    if value is None or isinstance(value, WrittenJson):
        return value and value.text
    return json.dumps(value) if value else EMPTY.get(type(value)) or json.dumps(value)


def _write(
    model: type[Model],
    fields: Sequence["Field[Any, Any]"],
    columns: Sequence[Sequence[Any]],
    same: Mapping["Field[Any, Any]", object] = NONE,
) -> None:
    """Write rows by the columns of these fields, and by the values of those that have the `same` in all."""
    quoted = connection.ops.quote_name
    table = quoted(model._meta.db_table)
    names = ", ".join(quoted(str(field.column)) for field in (*fields, *same))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with (
                connection.wrap_database_errors,
                cursor.copy(f"COPY {table} ({names}) FROM STDIN") as into,
            ):
                for lines in _lines(columns, same.values()):
                    into.write(lines)
        else:
            places = ", ".join([*"?" * len(fields), *map(_literal, same.values())])
            statement = f"INSERT INTO {table} ({names}) VALUES"
            rows = list(zip(*columns, strict=True))
            _insert(cursor.cursor, statement, f"({places})", rows, _together(fields, columns))


def _together(fields: Sequence["Field[Any, Any]"], columns: Sequence[Sequence[Any]]) -> int:
    """How many of these rows an INSERT of SQLite's may have, of its variables and for the longest of their texts.

    A power of two: the driver keeps few statements ready.
    """
    variables: int = connection.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    texts = (
        column for field, column in zip(fields, columns, strict=True) if isinstance(field, TEXTS)
    )
    longest = sum(max(map(len, filter(None, column)), default=0) for column in texts)
    most: int = min(TOGETHER, variables // len(fields), AT_ONCE // max(1, longest))
    return 1 << max(0, most.bit_length() - 1)


def _insert(
    cursor: sqlite3.Cursor, into: str, places: str, rows: Sequence[tuple[Any, ...]], together: int
) -> None:
    """Write so many rows a statement, then a few, and the last ones one by one.

    Django would look through each statement for its places.
    """
    start = 0
    with connection.wrap_database_errors:
        for number in (together, together // FEWER):
            several = f"{into} {', '.join([places] * number)}"
            while 1 < number <= len(rows) - start:
                values = [*chain.from_iterable(rows[start : start + number])]
                sqlite3.Cursor.execute(cursor, several, values)
                start += number
        sqlite3.Cursor.executemany(cursor, f"{into} {places}", rows[start:])


def _lines(columns: Sequence[Sequence[Any]], same: Iterable[object]) -> Iterator[str]:
    """Rows as COPY reads them, some lines at once; what is the same in all is written once."""
    end = "".join(f"\t{_copied(value)}" for value in same) + "\n"
    lines, size = list[str](), 0
    for row in zip(*map(_copied_column, columns), strict=True):
        lines.append("\t".join(row))
        size += len(lines[-1])
        if size > AT_ONCE:
            yield end.join(lines) + end
            lines, size = [], 0
    if lines:
        yield end.join(lines) + end


def _copied_column(column: Sequence[Any]) -> Iterable[str]:
    """Values as they stand in lines of COPY; all at once where they are of one type, as most columns are."""
    types = {*map(type, column)}
    if types == {str}:
        together = "".join(column)
        escaped = any(sign in together for sign in ESCAPED)
        return map(_escaped, column) if escaped else column
    return map(str if types == {int} else _copied, column)


def _escaped(text: str) -> str:
    for sign, written in ESCAPED.items():
        text = text.replace(sign, written)
    return text


def _copied(value: object) -> str:
    """A value in a line of COPY's text format; raises TypeError for what has no text of its own there."""
    if isinstance(value, str):
        return _escaped(value)
    if value is None:
        return "\\N"
    if isinstance(value, int | float | datetime | UUID):  # a truth too
        return str(value)
    raise TypeError(f"COPY is not told how to write {type(value).__name__}")


def _literal(value: object) -> str:
    """A value in a statement of SQLite, where it is bound once and not with each row."""
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return repr(+value)  # of a truth a number
    return "'{}'".format(str(value).replace("'", "''"))
