"""Which answer is shown first to whom: balanced over tasks, over people, and over models.

A task's `flip` is the place that is shown first to the first person; each further person begins one later.
"""

import secrets
from collections.abc import Iterable, Iterator
from typing import Protocol

BLOCKS = 2  # in so many tasks each item stands first equally often
_random = secrets.SystemRandom()


class Answer(Protocol):
    """What is shown: whose it is decides how it is balanced."""

    @property
    def model_id(self) -> int | None:
        """The id of who wrote it; None for a person or a file."""
        ...


def order(flip: int, slot: int, size: int) -> list[int]:
    """The places of so many items as the person in this slot sees them."""
    return [(flip + slot + step) % size for step in range(size)]


def flips(asked: Iterable[Iterable[Answer]]) -> Iterator[int]:
    """For each the place that is first shown first: of the same models each equally often."""
    blocks: dict[tuple[int, ...], Iterator[int]] = {}
    for answers in asked:
        models = tuple(answer.model_id or 0 for answer in answers)
        yield next(blocks.setdefault(models, _balanced(len(models))))


def _balanced(size: int) -> Iterator[int]:
    """Random places, each as often as any other in every block."""
    places = list(range(max(size, 1))) * BLOCKS
    while True:
        yield from _random.sample(places, len(places))
