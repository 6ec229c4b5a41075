"""Computing that nobody waits for by the second goes after whoever answers people on this machine."""

import os
from contextlib import suppress
from pathlib import Path

from alignment.seam.variables import EngineVariables, read

GUARD = "ATTUNE_GUARD"  # the process that leads our session for us alone, as webapp/machine/guard.py says
# Linux weighs the sessions of a machine against each other, and within each what is nice.
SESSION = Path("/proc/self/autogroup")


def give_way() -> None:
    """Let others go first from now on, and our session too where it is ours alone; raises ConfigError."""
    wished = read(EngineVariables).nice
    with suppress(OSError):  # a system that has none of it
        os.nice(max(wished - os.nice(0), 0))
        if str(os.getsid(0)) in (str(os.getpid()), os.environ.get(GUARD)):
            SESSION.write_text(str(wished), encoding="ascii")
