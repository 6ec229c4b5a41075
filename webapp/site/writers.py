"""Threads of one program write to SQLite one after the other.

SQLite lets one in at a time as well, but who waits there sleeps, longer each time, and is passed over by those who
come later: some wait for seconds while others write.
"""

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar

from django.db import connection

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = 2.0  # seconds; then another program has it, and SQLite's own wait says so
_turn = Lock()


def in_turn(act: Callable[P, R]) -> Callable[P, R]:
    """A transaction that waits for its turn; on other databases, and inside a larger one, it need not."""

    @wraps(act)
    def waited(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.vendor != "sqlite" or connection.in_atomic_block:
            return act(*args, **kwargs)
        mine = _turn.acquire(timeout=PATIENCE)
        try:
            return act(*args, **kwargs)
        finally:
            if mine:
                _turn.release()

    return waited
