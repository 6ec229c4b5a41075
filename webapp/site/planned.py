"""Statements that are asked again at each answer: PostgreSQL plans them once for a connection, not every time.

Planning takes a server as long as doing what they say, or longer. Connections that the threads of a web program share
keep what was planned (`machine.database`); on others, and on SQLite, these statements are asked as any other.
"""

from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import Cursor
from psycopg.abc import Params
from psycopg.rows import TupleRow


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
