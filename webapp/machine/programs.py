"""What the keeper says about its programs, in a small file that the dashboard reads.

The file is written over in place, always at its first size: that needs no room on a full disk. Its
path is told to the programs in their environment, so that a web started by hand shows nobody's.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

PLACE = "ATTUNE_PROGRAMS"  # in the environment of whatever the keeper starts
SIZE = 16 << 10  # bytes, padded with spaces
TRIES = 3  # a reader may come between two halves of a write


class Report(NamedTuple):
    """One program: how it does, how often it was started again, and where it says why."""

    name: str
    state: str  # running, waiting, looping
    since: float  # seconds since 1970
    restarts: int
    ended: str  # how it ended last, in words
    log: str

    @property
    def at(self) -> datetime:
        """Since when it is so."""
        return datetime.fromtimestamp(self.since, UTC)

    @property
    def loops(self) -> bool:
        """Whether it ends again and again soon after its start."""
        return self.state == "looping"

    @property
    def words(self) -> str:
        """The state as people say it."""
        return {"waiting": "starts again", "looping": "ends again and again"}.get(
            self.state, self.state
        )

    @property
    def shown_state(self) -> str:
        """The state in the words of runs, whose colours it has."""
        return {"waiting": "queued", "looping": "failed"}.get(self.state, self.state)


def write(path: Path, reports: Iterable[Report]) -> None:
    """Say how the programs do; a disk that takes nothing leaves what was said before."""
    text = json.dumps([report._asdict() for report in reports]).encode()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            os.pwrite(handle, text.ljust(SIZE), 0)
        finally:
            os.close(handle)


def read() -> list[Report]:
    """How the programs do that were started with us; nothing where no keeper started us."""
    if not (path := os.environ.get(PLACE)):
        return []
    for _ in range(TRIES):
        try:
            return [Report(**row) for row in json.loads(Path(path).read_bytes())]
        except OSError:
            return []
        except (ValueError, TypeError):  # half a write
            time.sleep(0.01)
    return []
