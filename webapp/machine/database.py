"""A database that is away or held by somebody else, told from a bug; and its connections, shared.

Away is whatever somebody else mends, or time: it was restarted or killed, has ended our connections, has
none to spare, or another program holds what we want to write.
"""

import time
from collections.abc import Mapping
from contextlib import suppress

from django.core.signals import request_started
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db import Error as DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from webapp.machine.disk import causes
from webapp.machine.patience import ImpatientConnection

NEVER_BY_ITSELF = 2**31 - 1  # times that a statement is asked before PostgreSQL keeps its plan
LOCK_WAIT = 3.0  # seconds that a page waits for another's lock to store what somebody sent
LOOK_WAIT = 0.4  # seconds that one waits to store something beside what it shows
KNOWN = (
    4.0  # seconds for which a held database is known to be: nobody waits long, or all threads would
)
# What is planned at all is planned for whatever values come, at the first time instead of the sixth; and nothing is
# compiled, which takes a server longer than any page's statement.
ONCE = "-c plan_cache_mode=force_generic_plan -c jit=off"
POOL = {
    "min_size": 2,  # kept open, so that a server that has none to spare has those
    "max_size": 16,  # of a web process: more than it has threads
    "timeout": 1.0,  # seconds that a page waits for one
    "reconnect_timeout": 1.0,  # then the next page that needs one tries
    "num_workers": 2,
    "connection_class": ImpatientConnection,
}
# Lost connections, no resources, shut down, the system's errors, read-only, ended while it slept.
POSTGRES_AWAY = ("08", "53", "57P", "58", "25006", "25P03")
POSTGRES_BUSY = ("55P03", "57014", "40")  # a lock not had in time, cancelled, gave way to another
SQLITE_AWAY = (8, 10, 14, 15)  # read-only, I/O error, cannot open, its locking
SQLITE_BUSY = (5, 6)
LOST = {"OperationalError", "InterfaceError"}


def is_away(error: BaseException) -> bool:
    """Whether this error, or one that led to it, came of a database that cannot be asked now."""
    return any(
        _says(cause, SQLITE_AWAY, POSTGRES_AWAY) or _is_lost(cause) for cause in causes(error)
    )


def is_busy(error: BaseException) -> bool:
    """Whether it came of another program or transaction that holds what we wanted."""
    return any(_says(cause, SQLITE_BUSY, POSTGRES_BUSY) for cause in causes(error))


def share_connections() -> None:
    """In a web process: threads share connections, and no page waits long for one or for a lock."""
    database = connections.settings[DEFAULT_DB_ALIAS]
    options = database["OPTIONS"]
    if connection.vendor == "sqlite":
        request_started.connect(_wait_by_request)
        return
    connection_created.connect(_wait_as_known)
    if "pool" not in options:
        database |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}  # the pool keeps them
        options["pool"] = POOL
        options["prepare_threshold"] = NEVER_BY_ITSELF
        told = f"-c lock_timeout={1000 * LOCK_WAIT:.0f} {ONCE}"
        options["options"] = f"{options.get('options', '')} {told}"


def forget_lost() -> None:
    """Drop the shared connections that the server has ended: else each page would meet one of them."""
    pool = getattr(connection, "pool", None)
    if pool is not None and not pool.closed:
        pool.check()


def note_held() -> None:
    """Somebody has waited for another's lock in vain."""
    _held.until = time.monotonic() + KNOWN


class _Held:
    """Until when the database is known to be held."""

    until = 0.0

    @property
    def now(self) -> bool:
        """Whether it is."""
        return time.monotonic() < self.until


_held = _Held()


def _wait_as_known(connection: BaseDatabaseWrapper, **_: object) -> None:
    """A connection of PostgreSQL, which the pool gives to each page, waits by what is known."""
    given, short = connection.connection, _held.now
    if short != getattr(given, "waits_little", False):
        given.execute(f"SET lock_timeout = {1000 * (LOOK_WAIT if short else LOCK_WAIT):.0f}")
        given.waits_little = short


def _wait_by_request(environ: Mapping[str, str] | None = None, **_: object) -> None:
    """Whoever only looks waits for nobody: what a page writes then, such as a lease, can wait itself."""
    looks = environ is not None and environ["REQUEST_METHOD"] in ("GET", "HEAD")
    seconds = LOOK_WAIT if looks or _held.now else LOCK_WAIT
    with suppress(DatabaseError):
        connection.ensure_connection()
        connection.connection.execute(f"PRAGMA busy_timeout = {1000 * seconds:.0f}")


def _says(error: BaseException, sqlite: tuple[int, ...], postgres: tuple[str, ...]) -> bool:
    if (code := getattr(error, "sqlite_errorcode", None)) is not None:
        return code & 0xFF in sqlite
    return (getattr(error, "sqlstate", None) or "").startswith(postgres)


def _is_lost(error: BaseException) -> bool:
    """Whether PostgreSQL's driver has no connection: then there is no code of the server."""
    kinds = [kind for kind in type(error).__mro__ if kind.__module__.startswith("psycopg")]
    named = any(kind.__name__ in LOST for kind in kinds)
    return named and getattr(error, "sqlstate", None) is None
