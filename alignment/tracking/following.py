"""A run's events told to a tracker, from its file: all that are there, and those that come while it computes."""

import select
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from alignment.kinds.spec import RunSpec
from alignment.seam.events import Event, Failed, Finished, StepDone, Stopped, parse_event

# What opens a run at each, with its name, the name of its kind, and its settings.
TRACKERS: Mapping[str, str] = {
    "mlflow": "alignment.tracking.mlflow_runs:MlflowRun",
    "wandb": "alignment.tracking.wandb_runs:WandbRun",
}
LOOK = 0.5  # seconds between two looks at the file
Numbers = Sequence[tuple[int, Mapping[str, float]]]  # of steps


class Tracked(Protocol):
    """A run at a tracker; any of its methods may raise whatever its library raises."""

    def __init__(self, name: str, kind: str, settings: Mapping[str, Any]) -> None: ...

    def add(self, numbers: Numbers) -> None:
        """The numbers of some steps."""

    def end(self, *, good: bool) -> None:
        """It is over; whether it came to a result."""


def track(folder: Path, name: str, *, offset: int = 0, follow: bool = False) -> int:
    """Tell a tracker a run's events; the exit status. What goes wrong is said in one line."""
    try:
        spec = RunSpec.load(folder)
        module, made = TRACKERS[name].split(":")
        title = f"{spec.kind} {spec.run}" if spec.run else f"{spec.kind} {folder.name}"
        tracked: Tracked = getattr(import_module(module), made)(title, spec.kind, spec.config)
        last: Event | None = None
        for events in _parts(folder / "events.jsonl", offset, follow=follow):
            tracked.add([(one.step, one.metrics) for one in events if isinstance(one, StepDone)])
            last = events[-1]
        tracked.end(good=isinstance(last, Finished))
    except Exception as error:  # a foreign library's, of any kind
        said = str(error).strip().splitlines()[:1] or [type(error).__name__]
        sys.stderr.write(f"{name} is not told of this run: {said[0]}\n")
        return 1
    return 0


def _parts(path: Path, offset: int, *, follow: bool) -> Iterator[list[Event]]:
    """The events behind an offset, as many at once as are there; while somebody holds our input, also what comes."""
    with path.open("rb") as lines:
        lines.seek(offset)
        over = not follow
        while True:
            events, at = [], lines.tell()
            while (line := lines.readline()).endswith(b"\n"):
                events.append(parse_event(line))
                at = lines.tell()
            lines.seek(at)  # what is being written is read again
            if events:
                yield events
            if over or (events and isinstance(events[-1], Finished | Stopped | Failed)):
                return
            over = bool(select.select([sys.stdin], [], [], LOOK)[0])
