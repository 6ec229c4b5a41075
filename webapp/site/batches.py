"""Long writes in short transactions: SQLite has one writer at a time, and people wait for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from webapp.site.planned import BY_INDEXES

HOLD = 0.06  # seconds that a transaction aims to hold what others wait for
HOLD_ROWS = 0.2  # the same on PostgreSQL, where others wait for the same rows alone
GAP = 0.05  # at least so long others may write, one after the other
LATELY = 10.0  # seconds after which whoever wrote is thought to be gone
ALONE = 0.005  # seconds, while nobody else writes: `machine/sqlite` looks once meanwhile
MOST = 20_000  # rows
CACHE = 64_000  # kB of SQLite's pages that stay with who writes much: its own 2 MB do not hold the indexes of a file


class Batches:
    """Transactions whose size follows how long they took, with gaps between them."""

    def __init__(self, size: int, least: int = 1) -> None:
        """So many rows at first, and never fewer than the least: a transaction costs something by itself."""
        self.size, self.least = size, least
        self.free_until = 0.0  # of the monotonic clock: others may write
        self.version: int | None = None  # of what others have written, at our last look
        self.shared_until = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One of them; before the next one whoever waits has the database for about as long as we had it.

        Where nobody else has written lately, the first who waits is let in. What is done between two is done meanwhile.
        """
        time.sleep(max(0.0, self.free_until - time.monotonic()))
        vendor = "" if connection.in_atomic_block else connection.vendor  # of a larger transaction
        if vendor == "sqlite":
            self._look_at_others()
        with transaction.atomic():
            if vendor == "postgresql":
                _write_quickly()
            started = time.monotonic()  # once we are let in
            yield
        held = time.monotonic() - started
        hold = HOLD_ROWS if vendor == "postgresql" else HOLD
        self.size = max(self.least, min(MOST, round(self.size * min(2.0, hold / max(held, 1e-3)))))
        if vendor == "sqlite":
            now = time.monotonic()
            shared = now < self.shared_until
            self.free_until = now + (max(GAP, held) if shared else ALONE)

    def _look_at_others(self) -> None:
        """Notice whether another connection has written since the last look."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            (version,) = cursor.fetchone()
        if self.version not in (None, version):
            self.shared_until = time.monotonic() + LATELY
        self.version = version


@contextmanager
def wide_cache() -> Iterator[None]:
    """Let SQLite keep the pages of indexes that are written again and again; they are let go at the end."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    ours = connection.connection
    ((before,),) = ours.execute("PRAGMA cache_size")
    ours.execute(f"PRAGMA cache_size = {-CACHE}")
    try:
        yield
    finally:
        if ours is connection.connection:  # another one, or another thread's, has its own
            ours.execute(f"PRAGMA cache_size = {before}")


def _write_quickly() -> None:
    """Let PostgreSQL look for what new rows name by indexes, and let this transaction be over before the disk has it.

    How foreign keys are looked at is planned once for a connection: were that while a table is small and just counted
    (autovacuum does so at any time), all of it would be read for each row that names it, until it is counted again.
    Who says that all is done waits for all transactions. A power cut may take the last of them back, each with its own
    word of how far it is.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT set_config('synchronous_commit', 'off', true), {BY_INDEXES}")
