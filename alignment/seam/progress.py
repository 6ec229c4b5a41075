"""How far a phase of a run is, counted where its time goes.

That is below the generators that tell events: a loop over the tokens of a batch has gradients off, weights of all
processes at hand, and callers that are no generators. So it counts here, and whoever writes events down is told, a
few times a second at most. Where no phase is counted nothing happens.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

from alignment.seam.events import PhaseProgressed

EVERY = 0.5  # seconds between two events of a phase

T = TypeVar("T")
Say = Callable[[PhaseProgressed], object]


class Phase:
    """A phase of so many units, whose parts follow each other; what counts knows its own part alone."""

    def __init__(self, total: float, unit: str, say: Say) -> None:
        self.total, self.unit, self.say = total, unit, say
        self.began = self.said = time.monotonic()
        self.done = self.start = 0.0
        self.size = total  # of the part under way, as `start` is

    @property
    def event(self) -> PhaseProgressed:
        """How far it is now."""
        done, seconds = round(min(self.done, self.total), 3), time.monotonic() - self.began
        return PhaseProgressed(done=done, total=self.total, unit=self.unit, seconds=seconds)

    def reach(self, share: float) -> None:
        """So much of the part under way is done."""
        self.done = max(self.done, self.start + self.size * min(share, 1.0))
        if (now := time.monotonic()) - self.said >= EVERY:
            self.said = now
            self.say(self.event)

    @contextmanager
    def part(self, share: float) -> Iterator[None]:
        """What comes next is this share of the part under way."""
        outer = self.start, self.size
        left = sum(outer) - self.done
        self.start, self.size = self.done, min(self.size * share, left)
        try:
            yield
            self.reach(1)
        finally:
            self.start, self.size = outer

    def end(self) -> None:
        """Tell that all is done, unless something is left or it took no time worth a word."""
        whole = self.total > 0 and math.isclose(self.done, self.total)
        if whole and (self.said > self.began or time.monotonic() - self.began >= EVERY):
            self.done = self.total
            self.say(self.event)


def nobody(_event: PhaseProgressed) -> None:
    """Who is told where nobody listens."""


_listener: ContextVar[Say] = ContextVar("listener", default=nobody)
_phase: ContextVar[Phase | None] = ContextVar("phase", default=None)


@contextmanager
def listening(say: Say) -> Iterator[None]:
    """Tell how far phases are meanwhile; one that broke is over with its listener."""
    before = _listener.get()
    _listener.set(say)
    try:
        yield
    finally:
        _listener.set(before)
        _phase.set(None)


@contextmanager
def counting(total: float, unit: str) -> Iterator[Phase]:
    """A phase of so many of what the unit names, as a plural; its parts are all of it."""
    before, phase = _phase.get(), Phase(total, unit, _listener.get())
    _phase.set(phase)
    try:
        yield phase
        phase.end()
    finally:
        _phase.set(before)


def reach(share: float) -> None:
    """So much of the part under way is done."""
    if (phase := _phase.get()) is not None:
        phase.reach(share)


@contextmanager
def taking(share: float) -> Iterator[None]:
    """What comes next is this share of the part under way."""
    if (phase := _phase.get()) is None:
        yield
        return
    with phase.part(share):
        yield


def split(*weights: float) -> list[AbstractContextManager[None]]:
    """The part under way, divided into parts that follow each other."""
    return [taking(weight / sum(weights)) for weight in weights]


def through(rows: Iterable[T], count: int) -> Iterator[T]:
    """So many rows, each an equal part, which is done when the next one is asked for."""
    for row in rows:
        with taking(1 / count):
            yield row


def in_batches(rows: Sequence[T], size: int, unit: str, each: int = 1) -> Iterator[Sequence[T]]:
    """Rows, so many at a time, which are a phase of `each` units a row."""
    with counting(len(rows) * each, unit):
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            with taking(len(batch) / len(rows)):
                yield batch
