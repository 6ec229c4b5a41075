"""Which process this is, so that another program of the same machine knows for certain when it has ended.

A name holds what nobody else ever has: this start of the machine, the space its process ids are of (a
container has its own), the id, and when the process began. By what Linux tells; elsewhere nothing is known.
"""

import os
from pathlib import Path

PROC = Path("/proc")
BEGAN = 19  # of the fields of a process's stat behind its name; the first is its state
OVER = {"Z", "X"}  # ended; only its parent has not looked yet


def own_name() -> str:
    """The name of this process; empty where the system tells too little."""
    pid = os.getpid()
    place, found = _place(), _fields(pid)
    return f"{place}/{pid}/{found[BEGAN]}" if place and found else ""


def has_ended(name: str) -> bool:
    """Whether the process of this name has certainly ended; not known is no."""
    place, _, process = name.partition("/")
    pid, _, began = process.partition("/")
    if not began or place != _place():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's, which may have the id of ours by now
    found = _fields(int(pid))
    return bool(found) and (found[0] in OVER or found[BEGAN] != began)


def _place() -> str:
    """This start of this machine, and its space of process ids."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _fields(pid: int) -> list[str]:
    """What the system tells of a process; nothing where it may not be seen."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
