"""What processes and all their children have used (Linux)."""

import os
from collections.abc import Collection
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # a second


def cpu_seconds(roots: Collection[int]) -> float:
    """User and system time of these processes and all below them, the ended ones included."""
    times = {pid: (parent, ticks) for pid, parent, ticks in _all()}
    return sum(ticks for pid, (_, ticks) in times.items() if _below(pid, roots, times)) / TICKS


def _all() -> list[tuple[int, int, int]]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        # state, parent, …; utime, stime and those of children that were waited for
        found.append((int(stat.parent.name), int(fields[1]), sum(map(int, fields[11:15]))))
    return found


def _below(pid: int, roots: Collection[int], times: dict[int, tuple[int, int]]) -> bool:
    while pid in times:
        if pid in roots:
            return True
        pid = times[pid][0]
    return False
