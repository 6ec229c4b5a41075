"""Work done by a second thread while the first one waits for a disk or a database."""

import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
TURN = 0.0005  # seconds: Python's own 5 ms are as long as many a step outside the interpreter
_before: list[float] = []  # what was in force when each of those came who want short ones now


@contextmanager
def short_turns() -> Iterator[None]:
    """Let a thread that comes back from outside the interpreter have it soon, while others use it."""
    _before.append(sys.getswitchinterval())
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(_before.pop())  # of the last to go the first one's, whoever that is


def ahead(items: Iterator[T]) -> Generator[T]:
    """The same, none of them None, each made by a thread while the one before is used; to be closed where not all are."""
    with short_turns(), ThreadPoolExecutor(1) as aside:
        coming = aside.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = aside.submit(next, items, None)
            yield item
