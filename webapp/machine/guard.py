"""Run a program that must not outlive the one that started it.

    python -I -S webapp/machine/guard.py [--log FILE] [--at-once] PROGRAM ARGUMENT…

The starter keeps the writing end of our standard input. When it dies, however it dies, that pipe
closes and we end the program and all its children: they are our process group, so that whoever
sees us dead can end them too. On Linux the kernel does the same for the program if we are killed
ourselves. We end as the program does: with its status, or by the signal that ended it.

With `--log` what the program says goes through us to that file, so that a full disk or a lost
folder costs it a line and not its life. With `--at-once` nothing is asked when the starter is gone:
by then somebody else may have the program's work. It has our input then, for guards below it in
sessions of their own, as torchrun's. Standard library only: we start in no time.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

COMMAND = (sys.executable, "-I", "-S", __file__)
GUARD = "ATTUNE_GUARD"  # in the program's environment: our process id, which alignment/seam/priority.py asks for
GRACE = 10.0  # seconds between asking and killing
LOOK = 60.0  # seconds between two looks at the clock: what happens wakes us
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

    def __init__(self, command: Sequence[str], log: Log | None, *, at_once: bool) -> None:
        self.log = log
        self.grace = 0.0 if at_once else GRACE
        self.deadline = float("inf")  # when it is killed
        self.program = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            stdin=None if at_once else subprocess.DEVNULL,
            stdout=subprocess.PIPE if log else None,
            stderr=subprocess.STDOUT if log else None,
            env=os.environ | {GUARD: str(os.getpid())},
            preexec_fn=partial(die_with, os.getpid()),
            close_fds=False,  # it has what our starter gave us beside its input; ours close by themselves
        )
        self.bell = self._hear_signals()
        self.watched = [0, self.bell]
        if self.program.stdout:
            self.watched.append(self.program.stdout.fileno())

    def _hear_signals(self) -> int:
        """Pass on what asks us to end; what can be read as soon as a signal comes, or the program ends."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # else it would wake nobody
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)
        return reading

    def ask(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the program alone: it ends its own children in its own order."""
        self.program.terminate()

    def look(self, seconds: float) -> bool:
        """Wait for words, for a signal or for the end of our starter; whether anything came."""
        ready, _, _ = select.select(self.watched, [], [], seconds)
        for handle in ready:
            if said := os.read(handle, CHUNK):
                if self.log and handle not in (0, self.bell):
                    self.log.write(said)
                continue
            self.watched.remove(handle)
            if not handle:  # our starter is gone
                self.deadline = time.monotonic() + self.grace
                if self.grace:
                    self.ask()
        return bool(ready)

    def wait(self) -> int:
        """Its exit status, negative for a signal, when it has ended or was given up."""
        while self.program.poll() is None and (left := self.deadline - time.monotonic()) > 0:
            self.look(min(left, LOOK))
        if 0 in self.watched:
            self.watched.remove(0)
            while self.look(0):  # its last words
                continue
            return self.program.returncode
        os.killpg(0, signal.SIGKILL)  # nobody is left to do it: all that remain, and us
        return 1


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies (Linux; elsewhere the pipe does)."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)


def end_as(status: int) -> NoReturn:
    """End as a program did: with its status, or by the signal that its negative is."""
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL is nobody's to handle
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def main(arguments: list[str]) -> int:
    """Run the command until it ends, we are told to stop, or our starter is gone."""
    log, at_once = None, False
    if arguments[0] == "--log":
        log, arguments = Log(Path(arguments[1])), arguments[2:]
    if arguments[0] == "--at-once":
        at_once, arguments = True, arguments[1:]
    if os.getpgrp() != os.getpid():
        os.setsid()
    try:
        guarded = Guarded(arguments, log, at_once=at_once)
    except OSError as error:
        if log:
            log.write(f"{arguments[0]} could not be started: {error}\n".encode())
        return 127
    return guarded.wait()


if __name__ == "__main__":
    end_as(main(sys.argv[1:]))
