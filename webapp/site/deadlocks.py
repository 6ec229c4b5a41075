"""What PostgreSQL gave up because of another transaction is simply done again.

Two may wait for each other; or both store what may be there once, having seen neither.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import IntegrityError, OperationalError, connection

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 4
LOST = {"40P01", "23505"}  # PostgreSQL's codes; SQLite has one writer at a time, and so neither


def again_after_deadlock(act: Callable[P, R]) -> Callable[P, R]:
    """Repeat a transaction that lost against another; inside a larger one that is for its owner to do."""

    @wraps(act)
    def tried(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(ATTEMPTS - 1):
            try:
                return act(*args, **kwargs)
            except (OperationalError, IntegrityError) as error:
                code = getattr(error.__cause__, "sqlstate", None)
                if connection.in_atomic_block or code not in LOST:
                    raise
        return act(*args, **kwargs)

    return tried
