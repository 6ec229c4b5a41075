"""Reading a trainer's event file by whole lines, from where the last batch ended."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from alignment.seam.events import Event, parse_event

BATCH_BYTES = 1 << 16  # a few hundred numbers: short transactions are fair to label writers
LINE_BYTES = 1 << 24

E = TypeVar("E", bound=Event)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Whole lines of `events.jsonl` between two byte offsets."""

    start: int
    end: int
    events: tuple[Event, ...] = ()

    def of(self, type: type[E]) -> list[E]:
        """The batch's events of a type, in order."""
        return [event for event in self.events if isinstance(event, type)]


def read_batch(path: Path, start: int) -> Batch:
    """The next whole lines after `start`; an empty batch when there are none yet."""
    text = _whole_lines(path, start) if path.exists() else b""
    events = tuple(e for line in text.splitlines() if (e := _event(line, path)) is not None)
    return Batch(start, start + len(text), events)


def _whole_lines(path: Path, start: int) -> bytes:
    limit = BATCH_BYTES
    with path.open("rb") as source:
        while True:
            source.seek(start)
            text = source.read(limit)
            whole = text[: text.rfind(b"\n") + 1]
            if whole or len(text) < limit or limit > LINE_BYTES:
                return whole
            limit *= 4


def _event(line: bytes, path: Path) -> Event | None:
    try:
        return parse_event(line)
    except ValidationError as error:
        logger.warning("%s: not an event, skipped: %r (%s)", path, line[:200], error.title)
        return None
