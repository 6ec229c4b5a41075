"""Computing that nobody waits for by the second goes after whoever answers people on this machine."""

import os
import time
from contextlib import suppress
from pathlib import Path

from alignment.seam.variables import EngineVariables, read

GUARD = "ATTUNE_GUARD"  # the process that leads our session for us alone, as webapp/machine/guard.py says
# Linux weighs the sessions of a machine against each other, and within each what is nice.
SESSIONS = Path("/proc")  # /proc/PID/autogroup
LAST = 19  # the niceness of who takes only what all others leave
TRIES, PAUSE = (
    10,
    0.1,
)  # to weigh a session: of all on a machine, Linux lets one be weighed in so many seconds


def give_way(*, session: bool = True) -> None:
    """Let others go first from now on, and our session too where it is ours alone; raises ConfigError.

    Without its `session` where who started us weighs that, as `go_last` says.
    """
    wished = read(EngineVariables).nice
    with suppress(OSError):  # a system that has none of it
        os.nice(max(wished - os.nice(0), 0))
        if session and str(os.getsid(0)) in (str(os.getpid()), os.environ.get(GUARD)):
            _weigh("self", wished)


def go_last(leader: int, *, idle: bool) -> None:
    """Let the session that this process leads go after all others while it is idle, and as others that give way once it is not.

    Who starts it says so, and nobody in it: whatever it has come to by then, the last word holds. Raises ConfigError.
    """
    wished = read(EngineVariables).nice
    with suppress(OSError):  # it has ended, or the system weighs no sessions
        _weigh(str(leader), LAST if idle else wished)


def _weigh(process: str, niceness: int) -> None:
    """Give the session of a process this niceness; raises OSError."""
    session = SESSIONS / process / "autogroup"
    for _ in range(TRIES):
        try:
            session.write_text(str(niceness), encoding="ascii")
        except BlockingIOError:
            time.sleep(PAUSE)
        else:
            return
