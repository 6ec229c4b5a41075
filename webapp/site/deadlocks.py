"""What PostgreSQL gave up because two transactions waited for each other is simply done again."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 4
DEADLOCK = "40P01"  # PostgreSQL's code; SQLite has one writer at a time, and so no deadlocks


def again_after_deadlock(act: Callable[P, R]) -> Callable[P, R]:
    """Repeat a transaction that lost a deadlock; inside a larger one that is for its owner to do."""

    @wraps(act)
    def tried(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(ATTEMPTS - 1):
            try:
                return act(*args, **kwargs)
            except OperationalError as error:
                code = getattr(error.__cause__, "sqlstate", None)
                if connection.in_atomic_block or code != DEADLOCK:
                    raise
        return act(*args, **kwargs)

    return tried
