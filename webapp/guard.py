"""Run a program that must not outlive the one that started it.

    python webapp/guard.py PROGRAM ARGUMENT…

The starter keeps the writing end of our standard input. When it dies, however it dies, that pipe
closes and we end the program and all its children. On Linux the kernel does the same for the
program if we are killed ourselves. Standard library only, so that it starts in no time.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from types import FrameType

GRACE = 10.0  # seconds between asking and killing
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the pipe does)."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Run the command until it ends, we are told to stop, or our starter is gone."""
    child = subprocess.Popen(  # noqa: S603 - our own programs
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )

    def ask(_signal: int = 0, _frame: FrameType | None = None) -> None:
        child.terminate()  # the program alone: it ends its own children in its own order

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    while child.poll() is None:
        closed, _, _ = select.select([sys.stdin], [], [], 0.2)
        if closed and not os.read(sys.stdin.fileno(), 1024):
            return end(child)
    return child.returncode


def end(child: subprocess.Popen[bytes]) -> int:
    """Ask the program to end; after a while kill its whole group."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
