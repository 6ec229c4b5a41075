"""Statements that are asked again at each answer: PostgreSQL plans them once for a connection, not every time.

Planning takes a server as long as doing what they say, or longer. Connections that the threads of a web program share
keep what was planned (`machine.database`); on others, and on SQLite, these statements are asked as any other.

A plan is kept while its tables grow, from nothing too: by indexes a statement costs what it finds, by whole tables what
there is. So transactions that ask such statements of what people add to all day say BY_INDEXES first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import Cursor
from psycopg.abc import Params
from psycopg.rows import TupleRow

BY_INDEXES = (
    "set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"
)


class PlannedCursor(Cursor[TupleRow]):
    """Its values go beside its statements, which are kept."""

    def execute(self, query: Any, params: Params | None = None, **options: Any) -> Any:  # noqa: ANN401 - as psycopg's
        """Ask; what is asked first is planned then."""
        return super().execute(query, params, **{"prepare": True, **options})


def planned_cursor() -> CursorWrapper:
    """A cursor for statements whose texts are the same each time."""
    if connection.vendor != "postgresql":
        return connection.cursor()
    connection.ensure_connection()
    given = connection.connection
    usual, given.cursor_factory = given.cursor_factory, PlannedCursor
    try:
        return connection.cursor()
    finally:
        given.cursor_factory = usual


@contextmanager
def planned_by_indexes() -> Iterator[None]:
    """On PostgreSQL a transaction, or the rest of the one that there is, whose statements are planned so.

    SQLite plans each by itself, and a transaction there waits for whoever writes.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(savepoint=False):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {BY_INDEXES}")
        yield
