"""Run a program that must not outlive the one that started it.

    python webapp/machine/guard.py [--log FILE] PROGRAM ARGUMENT…

The starter keeps the writing end of our standard input. When it dies, however it dies, that pipe
closes and we end the program and all its children: they are our process group, so that whoever
sees us dead can end them too. On Linux the kernel does the same for the program if we are killed
ourselves. With `--log` what the program says goes through us to that file, so that a full disk or
a lost folder costs it a line and not its life. Standard library only: it starts in no time.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

GRACE = 10.0  # seconds between asking and killing
LOOK = 0.2  # seconds between two looks at whether the program has ended
CHUNK = 1 << 16
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Log:
    """A file that takes what it can: what it cannot is counted, and said when it can again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self._handle: int | None = None

    def write(self, said: bytes) -> None:
        """Append, or count what is lost."""
        try:
            handle = self._opened()
            if self.lost:
                self._append(handle, b"[%d bytes could not be logged here]\n" % self.lost)
                self.lost = 0
            self._append(handle, said)
        except OSError:
            self.lost += len(said)
            self._close()

    def _append(self, handle: int, said: bytes) -> None:
        while said:
            said = said[os.write(handle, said) :]

    def _opened(self) -> int:
        """The open file; another one when somebody has removed it."""
        if self._handle is not None and not os.fstat(self._handle).st_nlink:
            self._close()
        if self._handle is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY
            self._handle = os.open(self.path, flags, 0o644)
        return self._handle

    def _close(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.close(self._handle)
        self._handle = None


class Guarded:
    """The program, what it says and whether its starter is still there."""

    def __init__(self, command: list[str], log: Log | None) -> None:
        self.log = log
        self.deadline = float("inf")  # when it is killed
        self.program = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if log else None,
            stderr=subprocess.STDOUT if log else None,
            preexec_fn=die_with_parent,
        )
        self.watched = [0, *([self.program.stdout.fileno()] if self.program.stdout else [])]

    def ask(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the program alone: it ends its own children in its own order."""
        self.program.terminate()

    def look(self, seconds: float) -> bool:
        """Wait for words or for the end of our starter; whether anything came."""
        ready, _, _ = select.select(self.watched, [], [], seconds)
        for handle in ready:
            if said := os.read(handle, CHUNK):
                if handle and self.log:
                    self.log.write(said)
                continue
            self.watched.remove(handle)
            if not handle:  # our starter is gone
                self.deadline = time.monotonic() + GRACE
                self.ask()
        return bool(ready)

    def wait(self) -> int:
        """Its exit status, when it has ended or was given up."""
        while self.program.poll() is None and time.monotonic() < self.deadline:
            self.look(LOOK)
        if 0 in self.watched:
            self.watched.remove(0)
            while self.watched and self.look(0):  # its last words
                continue
            return self.program.returncode
        os.killpg(0, signal.SIGKILL)  # nobody is left to do it: all that remain, and us
        return 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the pipe does)."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run the command until it ends, we are told to stop, or our starter is gone."""
    log = None
    if arguments[0] == "--log":
        log, arguments = Log(Path(arguments[1])), arguments[2:]
    if os.getpgrp() != os.getpid():
        os.setsid()
    try:
        guarded = Guarded(arguments, log)
    except OSError as error:
        if log:
            log.write(f"{arguments[0]} could not be started: {error}\n".encode())
        return 127
    signal.signal(signal.SIGTERM, guarded.ask)
    signal.signal(signal.SIGINT, guarded.ask)
    return guarded.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
