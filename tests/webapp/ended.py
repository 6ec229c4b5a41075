"""Whether programs have ended that nobody here waits for."""

import os
import select
import time
from collections.abc import Sequence

import psutil


def still_running(programs: Sequence[psutil.Process], patience: float) -> list[psutil.Process]:
    """Those of them that do not end in so many seconds; one that its parent has yet to hear of has ended."""
    last = time.monotonic() + patience
    return [program for program in programs if not ends(program, last - time.monotonic())]


def ends(program: psutil.Process, patience: float) -> bool:
    """Whether it has ended, or does in so many seconds."""
    if not program.is_running():
        return True
    try:
        handle = os.pidfd_open(program.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], max(patience, 0))[0])
    finally:
        os.close(handle)
