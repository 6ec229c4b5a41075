"""What a kind of job is made of.

A job yields (done, total) as it goes on. What it returns is called in the transaction that says it
is done, and gives its result: rows it adds are there exactly when the job is done.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from django.db import transaction

Finish = Callable[[], Mapping[str, Any]]
Work = Generator[tuple[int, int], None, Finish]


def at_once(steps: Work) -> Mapping[str, Any]:
    """All of it without a job, for who waits for it; its result."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        finish: Finish = end.value
    with transaction.atomic():
        return finish()
