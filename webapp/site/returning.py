"""Statements that change rows and say which: Django's `update` only counts them.

Each is written by the ORM once, for numbers that stand for those to come, and then only filled in: writing
takes several times as long as the database takes for it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from django.db import connection
from django.db.models import QuerySet
from django.db.models.sql import UpdateQuery

Change = tuple[QuerySet[Any], dict[str, object]]  # rows, and what becomes of their columns
FIRST = -2_000_000_000  # a number that no row has, and every column of whole numbers could


class _Written(NamedTuple):
    statement: str
    parameters: list[Any]
    places: list[tuple[int, int]]  # of a parameter, and of the argument that it is


class Returning:
    """A change of rows that depends on some numbers; for each row the columns as they are then."""

    def __init__(self, columns: str, describe: Callable[..., Change], *, index: str = "") -> None:
        self.columns = columns
        self.describe = describe
        self.index = (
            index  # which SQLite finds the row by; left to itself it may take one of more columns
        )
        self.written: dict[str, _Written] = {}  # by the kind of database

    def __call__(self, *numbers: int) -> list[tuple[Any, ...]]:
        """Change them, for these numbers."""
        if (vendor := connection.vendor) not in self.written:
            self.written[vendor] = self._write(len(numbers))
        statement, constants, places = self.written[vendor]
        parameters = list(constants)
        for place, argument in places:
            parameters[place] = numbers[argument]
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def _write(self, arguments: int) -> _Written:
        rows, values = self.describe(*(FIRST - number for number in range(arguments)))
        query = cast("UpdateQuery", rows.query.chain(UpdateQuery))
        query.clear_ordering(force=True)
        query.add_update_values(values)
        statement, parameters = query.get_compiler(connection=connection).as_sql()
        places = [
            (place, FIRST - value)
            for place, value in enumerate(parameters)
            if isinstance(value, int) and FIRST - arguments < value <= FIRST
        ]
        if self.index and connection.vendor == "sqlite":
            statement = statement.replace(" V0 WHERE", f" V0 INDEXED BY {self.index} WHERE")
        return _Written(f"{statement} RETURNING {self.columns}", list(parameters), places)
