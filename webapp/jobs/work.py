"""What a kind of job is made of.

A job yields (done, total) as it goes on. What it returns is called in the transaction that says it
is done, and gives its result: rows it adds are there exactly when the job is done.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any

Finish = Callable[[], Mapping[str, Any]]
Work = Generator[tuple[int, int], None, Finish]
