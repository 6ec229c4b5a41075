"""What somebody else wrote and we must compute, kept apart: limits of time and memory, a sentence at each.

Torch-free. Templates and patterns are computed by `foreign`, one program for as long as this process
lives: it starts when it is first asked, again when it was ended, and ends with us.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

MEBIBYTES = 1024  # that templates and patterns may take
SECONDS = 5  # of computing that a request may take
PATIENCE = 4  # times as long by the clock, on a machine that has more to do
NO_MEMORY = 5  # exit status of `foreign`
LENGTH = 8  # bytes that say how long a message is
CHUNK = 1 << 20
LAST = 5.0  # seconds that a program has to end when it has closed its side
PROGRAM = Path(__file__).with_name("program.py")
SAFE = ["-P", "-X", "utf8"]  # its folder holds modules of ours that are named like others


TOLD = "TemplateError"  # what `raise_exception` raises


class OverrunError(Exception):
    """It took more than it may have; the message follows a subject: “did not finish within 5 s”."""


class RaisedError(Exception):
    """It raised an error of its own; `place` is the number of the text, None before the first."""

    def __init__(self, kind: str, reason: str, place: int | None) -> None:
        self.place = place
        said = "".join(c if c.isprintable() else "�" for c in reason)
        told = kind == TOLD and said  # by itself, in words
        super().__init__(said if told else f"{kind}: {said}" if said else kind)


class Running(NamedTuple):
    """A program and our end of what joins us."""

    program: subprocess.Popen[bytes]
    channel: socket.socket

    @classmethod
    def started(cls) -> "Running":
        """A new one, which has said nothing yet."""
        ours, its = socket.socketpair()
        command = [sys.executable, *SAFE, str(PROGRAM), str(MEBIBYTES)]
        with its:
            program = subprocess.Popen(command, stdin=its.fileno(), stdout=its.fileno())  # noqa: S603
        return cls(program, ours)

    def exchange(self, message: bytes) -> bytes:
        """The answer to a message; raises OSError or EOFError where there is none."""
        self.channel.sendall(len(message).to_bytes(LENGTH, "little") + message)
        return self._exactly(int.from_bytes(self._exactly(LENGTH), "little"))

    def _exactly(self, length: int) -> bytes:
        parts = []
        while length:
            if not (part := self.channel.recv(min(length, CHUNK))):
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def end(self, patience: float = 0) -> int:
        """End it, or let it come to its own end; its exit status, `SIGXCPU`'s where it had to be killed."""
        self.channel.close()
        with suppress(subprocess.TimeoutExpired):
            return self.program.wait(patience)
        self.program.kill()
        self.program.wait()
        return -signal.SIGXCPU


class Apart:
    """The program that computes for this process, one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Running | None = None

    def ask(
        self,
        task: str,
        texts: Sequence[Any],
        *,
        seconds: int | None = None,
        **more: Any,  # noqa: ANN401 - what JSON can say
    ) -> list[Any]:
        """What the task says of each text; raises OverrunError or RaisedError."""
        seconds = seconds or SECONDS
        request = {"task": task, "texts": texts, "seconds": seconds, **more}
        with self._lock:
            answer = json.loads(self._answer(json.dumps(request, default=str).encode(), seconds))
        if "error" in answer:
            raise RaisedError(answer["error"], answer["reason"], answer["place"])
        found: list[Any] = answer["results"]
        return found

    def end(self) -> None:
        """End the program; another starts when it is needed."""
        if self._running is not None:
            self._running.end()
        self._running = None

    def forget(self) -> None:
        """After a fork: the program stays the parent's, and nobody holds our lock."""
        if self._running is not None:
            self._running.channel.close()
        self.__init__()  # type: ignore[misc]  # nobody inherits from it

    def _answer(self, message: bytes, seconds: int) -> bytes:
        running = self._running
        if running is None or running.program.poll() is not None:
            self.end()
            running = self._running = Running.started()
        running.channel.settimeout(PATIENCE * seconds)
        try:
            return running.exchange(message)
        except BaseException as error:
            self._running = None  # half a message may be under way
            status = running.end(LAST if isinstance(error, (EOFError, ConnectionError)) else 0)
            if isinstance(error, (EOFError, OSError)):
                raise OverrunError(_limit(status, seconds)) from None
            raise


def _limit(status: int, seconds: int) -> str:
    """Which limit ended a program, by its exit status, as what follows a subject."""
    if status in (-signal.SIGXCPU, -signal.SIGALRM):
        return f"did not finish within {seconds} s"
    if status == NO_MEMORY:
        return f"asked for more than {MEBIBYTES >> 10} GB of memory"
    if status == -signal.SIGKILL:
        return "was ended by the system, which may have had too little memory"
    return f"ended the program that computed it (status {status})"


APART = Apart()
atexit.register(APART.end)
os.register_at_fork(after_in_child=APART.forget)
