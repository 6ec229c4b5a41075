"""Long writes in short transactions: SQLite has one writer at a time, and people wait for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

HOLD = 0.08  # seconds that a transaction aims to hold what others wait for
GAP = 0.05  # at least so long others may write: who waits at SQLite looks again after up to 0.1 s
MOST = 2000  # rows


class Batches:
    """Transactions whose size follows how long they took, with gaps between them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.free_until = 0.0  # of the monotonic clock: others may write

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One of them; before the next one whoever waits has the database for about as long as we had it.

        What is done between two of them is done meanwhile.
        """
        time.sleep(max(0.0, self.free_until - time.monotonic()))
        alone = connection.vendor == "sqlite" and not connection.in_atomic_block
        with transaction.atomic():
            started = time.monotonic()  # once we are let in
            yield
        held = time.monotonic() - started
        self.size = max(1, min(MOST, round(self.size * min(2.0, HOLD / max(held, 1e-3)))))
        if alone:
            self.free_until = time.monotonic() + max(GAP, held)
