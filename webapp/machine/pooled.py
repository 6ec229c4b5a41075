"""Connections to PostgreSQL that a pool shares; whether one still lives costs nothing to find out."""

import select
from typing import Any

import psycopg

ALIVE = ""  # the statement with which the pool asks (psycopg_pool's `check_connection`)


class PooledConnection(psycopg.Connection[Any]):
    """A connection on which an idle server's silence is the answer that it is there.

    A server that ends a connection says so, and its system closes the socket: there is something to read. Only
    then the server is asked, which finds out what it was.
    """

    def execute(self, query: Any, *rest: Any, **options: Any) -> psycopg.Cursor[Any]:  # noqa: ANN401 - psycopg's
        """As any connection does; but what asks nothing waits for nothing."""
        if query == ALIVE and not self.closed and self._is_silent():
            return self.cursor()
        return super().execute(query, *rest, **options)

    def _is_silent(self) -> bool:
        heard = select.poll()
        heard.register(self.fileno(), select.POLLIN)
        return not heard.poll(0)
