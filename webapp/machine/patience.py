"""A connection to PostgreSQL that gives up a server which takes what it is sent and says nothing any more.

One that is stopped, or whose disk is, keeps its connections: the system sees nothing wrong with them, and a page
would wait for as long as that lasts.
"""

import select
import time
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow

LOOK = 0.1  # seconds between two looks at the clock
ANSWER_WAIT = 10.0  # seconds that a page waits for what one statement answers
SHORT_WAIT = 0.5  # the same where a server is known to say nothing
ALIVE = (
    ""  # the statement with which a pool asks whether a connection lives (its `check_connection`)
)
KNOWN = 4.0  # seconds for which it is: the other connections are asked then whether they live


class _Silence:
    """Until when the server is known to say nothing."""

    until = 0.0


class ImpatientConnection(psycopg.Connection[TupleRow]):
    """It is lost when an answer takes longer than `ANSWER_WAIT`; whatever is asked of it then says so."""

    def wait(self, gen: PQGen[RV], interval: float = LOOK, timeout: float | None = None) -> RV:
        """What the server answers; raises OperationalError where it does not, as for any connection that is lost."""
        if timeout is not None:  # the driver's own, which it catches itself
            return super().wait(gen, interval, timeout)
        seconds = SHORT_WAIT if time.monotonic() < _Silence.until else ANSWER_WAIT
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.errors._WaitTimeout:  # it has no public name
            _Silence.until = time.monotonic() + KNOWN
            self.close()
            said = f"the server has not answered for {seconds:g} s"
            raise psycopg.OperationalError(said) from None

    def execute(self, query: Any, *rest: Any, **options: Any) -> psycopg.Cursor[Any]:  # noqa: ANN401 - psycopg's
        """As any connection does; but whether it lives, its socket says where nothing makes one doubt the server.

        A server that ends a connection tells it so, or its system closes it: there is something to read, and only
        then it is asked. A question at each page would cost as much as a page's own.
        """
        doubted = time.monotonic() < _Silence.until or self.closed
        if query == ALIVE and not doubted and not self._has_something_to_read():
            return self.cursor()
        return super().execute(query, *rest, **options)

    def _has_something_to_read(self) -> bool:
        heard = select.poll()
        heard.register(self.fileno(), select.POLLIN)
        return bool(heard.poll(0))
