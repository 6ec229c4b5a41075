"""Rows by the hundred thousand, made by the database itself: one statement a table."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from django.core.management.color import no_style
from django.db import connection
from django.db.models import NOT_PROVIDED, Field, JSONField, Model

SERIES = """
    WITH RECURSIVE series(i) AS (SELECT %s UNION ALL SELECT i + 1 FROM series WHERE i + 1 < %s)
    INSERT INTO {table} ({columns}) SELECT {values} FROM series
"""


class Dialect(NamedTuple):
    """What the two databases say differently; `{}` is a number."""

    hexadecimal: str
    ago: str  # so many seconds


DIALECTS = {
    "sqlite": Dialect("printf('%032x', {})", "datetime('now', '-' || ({}) || ' seconds')"),
    "postgresql": Dialect(
        "lpad(to_hex({}), 32, '0')", "statement_timestamp() - ({}) * interval '1 second'"
    ),
}


def hexadecimal(number: str) -> str:
    """The 32 digits of a number, as SQL."""
    return DIALECTS[connection.vendor].hexadecimal.format(number)


def ago(seconds: str) -> str:
    """The time so many seconds before now, as SQL."""
    return DIALECTS[connection.vendor].ago.format(seconds)


def fill(model: type[Model], numbers: range, **columns: str) -> None:
    """A row for each number: `i` in the SQL of a column, its default where none is given."""
    names, values, told = [], [], []
    for field in model._meta.concrete_fields:
        if (said := value_of(field, columns)) is not None:
            sql, parameters = said
            names.append(connection.ops.quote_name(field.column))
            values.append(typed(field, sql))
            told += parameters
    statement = SERIES.format(
        table=model._meta.db_table, columns=", ".join(names), values=", ".join(values)
    )
    if numbers:
        with connection.cursor() as cursor:
            cursor.execute(statement, [numbers.start, numbers.stop, *told])


def value_of(field: Field, columns: dict[str, str]) -> tuple[str, list[object]] | None:
    """A column's SQL with its parameters; None where the database knows what to write."""
    if field.primary_key:
        return "i + 1", []
    if (given := columns.get(field.attname)) is not None:
        return given.replace("%", "%%"), []
    if field.db_default is not NOT_PROVIDED or (field.null and not field.has_default()):
        return None
    default = field.get_default()
    return "%s", [json.dumps(default) if isinstance(field, JSONField) else default]


def typed(field: Field, sql: str) -> str:
    """The SQL as the column's type, which only SQLite does not ask for."""
    return sql if connection.vendor == "sqlite" else f"CAST({sql} AS {field.db_type(connection)})"


def settle(models: Iterable[type[Model]]) -> None:
    """Let the database know what is there, as it does by itself after a while."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(models)):
            cursor.execute(statement)
        cursor.execute("ANALYZE")
