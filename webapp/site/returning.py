"""Statements that are asked often. Those that change rows say which: Django's `update` only counts them.

Each is written by the ORM once, for numbers that stand for those to come, and then only filled in: writing
takes several times as long as the database takes for it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from django.db import connection
from django.db.models import QuerySet
from django.db.models.sql import UpdateQuery

from webapp.site.planned import planned_cursor

Change = tuple[QuerySet[Any], dict[str, object]]  # rows, and what becomes of their columns
NUMBER = r"\{(\d)\}"  # of an argument, in columns
FIRST = -2_000_000_000  # a number that no row has, and every column of whole numbers could


class _Written(NamedTuple):
    statement: str
    parameters: list[Any]
    places: list[tuple[int, int]]  # of a parameter, and of the argument that it is


class Asking:
    """Rows that are asked for by some numbers, as the database gives their columns."""

    def __init__(self, describe: Callable[..., Any]) -> None:
        self.describe = describe
        self.written: dict[str, _Written] = {}  # by the kind of database

    def __call__(self, *numbers: int) -> list[tuple[Any, ...]]:
        """Ask, for these numbers."""
        if (vendor := connection.vendor) not in self.written:
            described = self.describe(*(FIRST - number for number in range(len(numbers))))
            self.written[vendor] = self._write(described, len(numbers))
        statement, constants, places = self.written[vendor]
        parameters = list(constants)
        for place, argument in places:
            parameters[place] = type(constants[place])(numbers[argument])  # as wide each time
        with planned_cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def _write(self, described: Any, arguments: int) -> _Written:  # noqa: ANN401 - what `describe` gives
        compiler = described.query.get_compiler(connection=connection)
        statement, parameters = compiler.as_sql()
        return _filled_in(statement, parameters, arguments)


class Returning(Asking):
    """A change of rows that depends on some numbers; for each row the columns as they are then.

    In the columns, {0} is the first of these numbers. SQLite finds tables that are called V0 by the indexes, one
    after the other: left to itself it may take one of more columns.
    """

    def __init__(
        self, columns: str, describe: Callable[..., Change], *, indexes: Sequence[str] = ()
    ) -> None:
        super().__init__(describe)
        self.columns = columns
        self.indexes = indexes

    def _write(self, described: Any, arguments: int) -> _Written:  # noqa: ANN401 - as above
        rows, values = described
        query = cast("UpdateQuery", rows.query.chain(UpdateQuery))
        query.clear_ordering(force=True)
        query.add_update_values(values)
        statement, parameters = query.get_compiler(connection=connection).as_sql()
        named = [FIRST - int(number) for number in re.findall(NUMBER, self.columns)]
        statement += f" RETURNING {re.sub(NUMBER, '%s', self.columns)}"
        for index in self.indexes if connection.vendor == "sqlite" else ():
            statement = statement.replace(" V0 WHERE", f" V0 INDEXED BY {index} WHERE", 1)
        return _filled_in(statement, (*parameters, *named), arguments)


def _filled_in(statement: str, parameters: Sequence[Any], arguments: int) -> _Written:
    """A statement that was written for numbers that stand for those to come."""
    places = [
        (place, FIRST - value)
        for place, value in enumerate(parameters)
        if isinstance(value, int) and FIRST - arguments < value <= FIRST
    ]
    return _Written(statement, list(parameters), places)
