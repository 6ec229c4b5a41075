"""Rows of several models from one statement of our own, where the ORM would take several, or long to write it."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model

M = TypeVar("M", bound=Model)
Converter = Callable[..., Any]


def all_columns(model: type[Model], table: str) -> str:
    """All that `model_row` needs, to stand in a SELECT; `table` is what the statement calls it."""
    return ", ".join(f'{table}."{field.column}"' for field in model._meta.concrete_fields)


def model_row(model: type[M], values: Sequence[Any]) -> M | None:
    """The row of these columns as the database gave them; None where an outer join found none."""
    fields = model._meta.concrete_fields
    found = list(values)
    if found[0] is None:
        return None
    for place, expression, converters in _converters(model):
        for convert in converters:
            found[place] = convert(found[place], expression, connection)
    return model.from_db(connection.alias, [field.attname for field in fields], found)


@cache
def _converters(model: type[Model]) -> list[tuple[int, Any, list[Converter]]]:
    """What the ORM makes of a column's value, where it is not taken as it is."""
    return [
        (place, expression, made)
        for place, field in enumerate(model._meta.concrete_fields)
        if (expression := field.get_col(model._meta.db_table))
        and (
            made := [
                *connection.ops.get_db_converters(expression),
                *field.get_db_converters(connection),
            ]
        )
    ]
