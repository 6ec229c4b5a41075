"""What memory there is here, what a program holds of it, and whether the system has ended one for it.

Torch-free. By what Linux tells in /proc and /sys; where it tells nothing, nothing is said.
"""

import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from alignment.seam.words import _

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
NO_LIMIT = 1 << 60  # bytes; older control groups write a number near 2^63
NEARLY_ALL = 0.8  # of the memory: who is killed while it holds so much is killed for that
NOT_NOTHING = 0.1  # of the memory: who holds less was not in the way
GIB = 2**30
# Settings that take memory, in the order in which they are worth changing, and what spends less.
SPENDING: Mapping[str, str] = {
    "completions_per_prompt": "fewer completions per prompt",
    "batch": "a smaller batch",
    "prompts_per_step": "fewer prompts per step",
    "max_new_tokens": "a smaller completion length limit",
    "context": "a shorter context",
    "vocabulary": "a smaller vocabulary",
}


class Squeeze(NamedTuple):
    """How much memory there was, and how much a program and its children held at most, in bytes."""

    room: int
    held: int
    killed: bool  # the system ended something for memory while it ran

    @property
    def fatal(self) -> bool:
        """Whether the program was in the way: a kill that comes now is the system's, for memory."""
        share = self.held / self.room if self.room else 0
        return share >= NEARLY_ALL or (self.killed and share >= NOT_NOTHING)


UNKNOWN = Squeeze(0, 0, killed=False)


class Watch:
    """The most that a program and its children have held, looked at again and again."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.most = 0
        self._kills = kills()
        self._before = _largest_child()

    def look(self) -> None:
        """Look at it once; for nothing when it is gone."""
        self.most = max(self.most, held(self.pid))

    def squeeze(self) -> Squeeze:
        """What is known once it has ended and was waited for."""
        last = _largest_child()
        # Until it becomes the program, a child counts with all that this process holds.
        most = max(self.most, last if last > max(self._before, _ours()) else 0)
        return Squeeze(room(), most, kills() > self._kills)


def room() -> int:
    """Bytes of memory of this machine, or of the container that it lends us."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([there, *(limit for limit in _limits() if limit < NO_LIMIT)])


def available() -> int:
    """Bytes that a program could still take here, as far as is known."""
    told = [
        int(line.split()[1]) << 10
        for line in _lines(PROC / "meminfo")
        if line.startswith("MemAvailable")
    ]
    return min([room(), *told])


def held(pid: int) -> int:
    """Bytes that a process and its children have held at most, each for itself, as far as is known."""
    return _peak(pid) + sum(held(child) for child in _children(pid))


def kills() -> int:
    """How often the system has ended a process for memory since it started."""
    rows = (line.split() for line in _lines(PROC / "vmstat"))
    return sum(int(row[1]) for row in rows if row[0] == "oom_kill")


def told(squeeze: Squeeze, settings: Mapping[str, object]) -> str:
    """What happened and what to make smaller, in sentences."""
    held_ = f"{squeeze.held / GIB:.1f} GiB" if squeeze.held else "an unknown part"
    return _(
        "The system ended the run because memory ran out: there are {room:.1f} GiB, and it "
        "held {held} of them. Try {smaller}."
    ).format(room=squeeze.room / GIB, held=held_, smaller=" or ".join(smaller(settings)))


def smaller(settings: Mapping[str, object]) -> list[str]:
    """What would take less memory than these settings of a run, the model itself last."""
    found = [less for name, less in SPENDING.items() if settings.get(name)][:2]
    if settings.get("lora_rank") == 0:
        found.append("a LoRA rank")
    if settings.get("placement") == "one" and settings.get("lora_rank") != 0:
        found.append("all devices")
    return [*found, "a smaller model"]


def _peak(pid: int) -> int:
    for line in _lines(PROC / str(pid) / "status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def _children(pid: int) -> list[int]:
    return [int(child) for line in _lines(*_tasks(pid)) for child in line.split()]


def _tasks(pid: int) -> Sequence[Path]:
    with suppress(OSError):
        return [task / "children" for task in (PROC / str(pid) / "task").iterdir()]
    return []


def _limits() -> Iterator[int]:
    """The limits of our control group and of those above it, as the container sees them."""
    for line in _lines(PROC / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        base, name = CGROUPS, "memory.max"
        if controllers:
            base, name = CGROUPS / "memory", "memory.limit_in_bytes"
        if controllers and "memory" not in controllers.split(","):
            continue
        place = base / path.lstrip("/")
        for folder in (place, *place.parents):
            if folder.is_relative_to(base):
                yield from (int(said) for said in _lines(folder / name) if said.isdigit())


def _lines(*paths: Path) -> list[str]:
    """The lines of files; none of those that cannot be read."""
    found: list[str] = []
    for path in paths:
        with suppress(OSError):
            found += path.read_text(encoding="utf-8").splitlines()
    return found


def _largest_child() -> int:
    """The most that any child held that we have waited for, in bytes."""
    return _most(resource.RUSAGE_CHILDREN)


def _ours() -> int:
    """The most that this process has held, in bytes."""
    return _most(resource.RUSAGE_SELF)


def _most(whose: int) -> int:
    most = resource.getrusage(whose).ru_maxrss
    return most << 10 if PROC.is_dir() else most  # KiB on Linux, bytes elsewhere
