"""SQLite for many writers: nobody who waits to write is passed over.

SQLite itself looks whether the lock is free after 1, 2, 5 and in the end every 100 ms; where others take it within a
millisecond each time it is free, somebody may find it held for seconds. Here everybody looks about as often.
"""

import random
import time

from django.db import OperationalError
from django.db.backends.sqlite3 import base

LOOKS = 0.004  # seconds between two looks at the lock, at most
BUSY = (5, 6)  # it is held


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, whose transactions begin within the connection's `busy_timeout`, or raise OperationalError."""

    def _start_transaction_under_autocommit(self) -> None:
        raw = self.connection
        ((patience,),) = raw.execute("PRAGMA busy_timeout")  # ms
        end = time.monotonic() + patience / 1000
        raw.execute("PRAGMA busy_timeout = 0")
        try:
            while not self._has_begun(last=time.monotonic() >= end):
                time.sleep(random.uniform(0.2, 1) * LOOKS)  # noqa: S311 - no secret
        finally:
            raw.execute(f"PRAGMA busy_timeout = {patience}")

    def _has_begun(self, *, last: bool) -> bool:
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # the stubs lack it
        except OperationalError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0)
            if last or code & 0xFF not in BUSY:
                raise
            return False
        return True
