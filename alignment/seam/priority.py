"""Computing that nobody waits for by the second goes after whoever answers people on this machine."""

import os
import re
from contextlib import suppress
from pathlib import Path

from alignment.seam.errors import ConfigError
from alignment.seam.words import _

NICE = "ATTUNE_NICE"
GUARD = "ATTUNE_GUARD"  # the process that leads our session for us alone, as webapp/machine/guard.py says
USUAL, MOST = 10, 19
# Linux weighs the sessions of a machine against each other, and within each what is nice.
SESSION = Path("/proc/self/autogroup")


def niceness() -> int:
    """How far this process gives way, 0 (not at all) to 19; raises ConfigError."""
    said = os.environ.get(NICE, "").strip()
    if not said:
        return USUAL
    if not re.fullmatch("1?[0-9]", said):
        raise ConfigError(
            _("{nice} is {said!r}; it takes a whole number from 0 to {most}.").format(
                nice=NICE, said=said[:40], most=MOST
            )
        )
    return int(said)


def give_way() -> None:
    """Let others go first from now on, and our session too where it is ours alone; raises ConfigError."""
    wished = niceness()
    with suppress(OSError):  # a system that has none of it
        os.nice(max(wished - os.nice(0), 0))
        if str(os.getsid(0)) in (str(os.getpid()), os.environ.get(GUARD)):
            SESSION.write_text(str(wished), encoding="ascii")
