"""A trainer that needs no torch and says too much for a small disk."""

from collections.abc import Iterator
from pathlib import Path

from alignment.kinds.spec import RunSpec
from alignment.seam.events import Event, PhaseStarted, Ready


def talk(spec: RunSpec, folder: Path) -> Iterator[Event]:
    """10 MB of events."""
    yield Ready(total_steps=1, threads=1, device="cpu")
    for _ in range(1000):
        yield PhaseStarted(name="x" * 10_000)
