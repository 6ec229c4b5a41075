"""Many new rows at once, by the quickest way that the database has: COPY, or one prepared INSERT."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import DateTimeField, Field, JSONField, Model
from django.db.models.expressions import DatabaseDefault

NONE: Mapping[Any, object] = {}
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
    ways = {place: way for place, one in enumerate(varying) if (way := _prepared(one))}
    numbers = _free_ids(model, len(rows))
    prepared = (_changed(row, ways) for row in rows) if ways else rows
    values = ((number, *row) for number, row in zip(numbers, prepared, strict=True))
    _write(model, [_own_id(model), *varying], values, rest)
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


def _changed(row: tuple[Any, ...], ways: Mapping[int, "Prepare"]) -> list[Any]:
    values = list(row)
    for place, way in ways.items():
        values[place] = way(values[place])
    return values


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
    _write(type(rows[0]), fields, _values(fields, rows))
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
            named = "nextval(pg_get_serial_sequence(%s, 'id'))"
            cursor.execute(f"SELECT {named} FROM generate_series(1, %s)", [table, number])  # noqa: S608 - our own
            return [found for (found,) in cursor.fetchall()]
        known = "SELECT seq FROM sqlite_sequence WHERE name = %s"
        cursor.execute(known, [model._meta.db_table])
        last = (cursor.fetchone() or (0,))[0]
        return range(last + 1, last + 1 + number)


def _values(
    fields: Sequence["Field[Any, Any]"], rows: Iterable[Model]
) -> Iterator[tuple[Any, ...]]:
    """What the driver is given for each row."""
    ways = {place: way for place, field in enumerate(fields) if (way := _prepared(field))}
    read = attrgetter(*(field.attname for field in fields))
    return (tuple(_changed(read(row), ways)) for row in rows)


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
    values: Iterator[tuple[Any, ...]],
    same: Mapping["Field[Any, Any]", object] = NONE,
) -> None:
    """Write rows by the values of these fields, and of those that have the `same` in all."""
    quoted = connection.ops.quote_name
    table = quoted(model._meta.db_table)
    columns = ", ".join(quoted(str(field.column)) for field in (*fields, *same))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with (
                connection.wrap_database_errors,
                cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as into,
            ):
                rest = tuple(same.values())
                for row in values:
                    into.write_row((*row, *rest))
        else:
            places = ", ".join([*["%s"] * len(fields), *map(_literal, same.values())])
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(values))  # noqa: S608 - our own


def _literal(value: object) -> str:
    """A value in a statement of SQLite, where it is bound once and not with each row."""
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return repr(+value)  # of a truth a number
    return "'{}'".format(str(value).replace("'", "''").replace("%", "%%"))
