"""Rewards from code that somebody wrote: a function of theirs, or a command, asked in a process of its own.

Torch-free. A row goes out with its prompt, its completion and the prompt's own columns; a number comes back, or
several by name. Whatever else comes back, or does not come, is an error that names the row: none is ever taken for 0.
"""

import json
import math
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from alignment.foreign.confinement import NO_MEMORY
from alignment.seam.errors import ConfigError
from alignment.seam.words import _

PROGRAM = Path(__file__).with_name("reward_program.py")
SAFE = ["-I", "-X", "utf8"]
LAST = 2.0  # seconds that a program has to end when it has closed its side
MOST = 16 << 20  # bytes of an answer
CHUNK = 1 << 18
SHOWN = 60  # letters of what is no number
ALONE = "reward"  # the name of a number that has none
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
MOST_PARTS = 16
ALLOWED = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}  # noqa: S108
PROBE = "def probe(completions):\n    return [0] * len(completions)\n"

Row = Mapping[str, Any]  # prompt, messages, completion and columns, as JSON takes them
Parts = dict[str, float]  # of a reward, by name


class CodeError(Exception):
    """What keeps rows from having rewards, as what follows a colon; `place` is the row's, where it is one's."""

    def __init__(self, reason: str, place: int | None = None) -> None:
        super().__init__(reason)
        self.place = place


class Limits(NamedTuple):
    """What may be taken: of time by one request, of memory by all processes of code that is kept apart."""

    seconds: int
    mebibytes: int = 0  # 0: the code is the user's own, and is not kept apart


class Code(NamedTuple):
    """A function of a file, or a command that takes rows as lines."""

    file: Path | None = None
    function: str = ""
    command: tuple[str, ...] = ()

    def program(self, limits: Limits) -> list[str]:
        """What is started."""
        if self.command:
            return list(self.command)
        own = [str(PROGRAM), str(self.file), self.function, str(limits.mebibytes)]
        return [sys.executable, *SAFE, *own]


class RewardCode:
    """The program that gives rewards; it starts when it is first asked, and again where it had to be ended."""

    def __init__(self, code: Code, limits: Limits) -> None:
        self.code, self.limits = code, limits
        self.names: tuple[str, ...] = ()  # of a reward's parts, since the first answer
        self._running: _Running | None = None

    def parts(self, rows: Sequence[Row]) -> list[Parts]:
        """The numbers of each row by name, of the same names in every row; raises CodeError, ConfigError.

        Where rows cannot be valued together, one after the other is asked, to say which of them it is.
        """
        try:
            return self._together(rows)
        except CodeError as error:
            if error.place is not None:
                raise
            if len(rows) > 1:
                for place, row in enumerate(rows):
                    self._alone(row, place)
                raise
            raise CodeError(str(error), 0) from None

    def check(self) -> None:
        """Load the code, and end it again; raises ConfigError where it cannot be asked."""
        self._running = self._running or self._started()
        self.end()

    def end(self) -> None:
        """End the program; another starts when it is needed."""
        if self._running is not None:
            self._running.end()
        self._running = None

    def _alone(self, row: Row, place: int) -> None:
        try:
            self._together([row])
        except CodeError as error:
            raise CodeError(str(error), place) from None

    def _together(self, rows: Sequence[Row]) -> list[Parts]:
        values = self._lines(rows) if self.code.command else self._function(rows)
        if len(values) != len(rows):
            raise CodeError(f"it gave {len(values):,} values for {len(rows):,} completions")
        return [self._numbers(value, place) for place, value in enumerate(values)]

    def _numbers(self, value: object, place: int) -> Parts:
        """A row's numbers; raises CodeError where one is none."""
        parts = value if isinstance(value, dict) else {ALONE: value}
        for name in parts:
            if not NAME.fullmatch(name):
                shown = _shown(name)
                raise CodeError(
                    f"{shown} is no name for a part of a reward; letters, digits and _ make one",
                    place,
                )
        found = {name: _number(name, number, place) for name, number in parts.items()}
        names = tuple(sorted(found))
        if not 0 < len(names) <= MOST_PARTS:
            raise CodeError(
                f"it gave {len(names)} numbers; there are 1 to {MOST_PARTS} in a reward", place
            )
        self.names = self.names or names
        if names != self.names:
            said, known = ", ".join(names), ", ".join(self.names)
            raise CodeError(
                f"it gave {said}, and {known} before; a reward has the same parts for every row",
                place,
            )
        return found

    def _function(self, rows: Sequence[Row]) -> list[Any]:
        said = self._say(json.dumps(rows).encode() + b"\n", 1)
        answer = _read(said[0]) if said else None
        if not isinstance(answer, dict) or "values" not in answer:
            raise CodeError(_told(answer, self.limits))
        values = answer["values"]
        return values if isinstance(values, list) else [values]

    def _lines(self, rows: Sequence[Row]) -> list[Any]:
        flat = [{**row["columns"], **row} for row in rows]
        for row in flat:
            del row["columns"]
        message = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in flat)
        return [_read(line) for line in self._say(message.encode(), len(rows))]

    def _say(self, message: bytes, lines: int) -> list[bytearray]:
        """The lines that answer a message; a program that gave none, or too much, is ended."""
        running = self._running = self._running or self._started()
        try:
            return running.exchange(message, lines, self.limits.seconds)
        except BaseException as error:
            self._running = None
            status = running.end(LAST if isinstance(error, (EOFError, ConnectionError)) else 0)
            if isinstance(error, TimeoutError):
                raise CodeError(f"it did not finish within {self.limits.seconds} s") from None
            if isinstance(error, OverflowError):
                raise CodeError(f"it wrote more than {MOST >> 20} MiB") from None
            if isinstance(error, (EOFError, OSError)):
                raise CodeError(_ending(status, self.limits)) from None
            raise

    def _started(self) -> "_Running":
        """The program, ready to be asked; raises ConfigError where it cannot be."""
        try:
            running = _Running.of(self.code.program(self.limits), apart=bool(self.limits.mebibytes))
        except OSError as error:
            raise ConfigError(
                _("The reward from code cannot be started: {reason}.").format(reason=error)
            ) from None
        if self.code.command:
            return running
        reason = running.readiness(self.limits)
        if not reason:
            return running
        running.end()
        raise ConfigError(_("The reward from code cannot be used: {reason}.").format(reason=reason))


class _Running(NamedTuple):
    """A program, and our end of what joins us."""

    program: subprocess.Popen[bytes]
    channel: socket.socket
    apart: bool

    @classmethod
    def of(cls, command: Sequence[str], *, apart: bool) -> "_Running":
        """A new one, which has said nothing yet; raises OSError."""
        ours, its = socket.socketpair()
        with its:
            try:
                program = subprocess.Popen(  # noqa: S603 - what it is for
                    command,
                    stdin=its.fileno(),
                    stdout=its.fileno(),
                    env=ALLOWED if apart else None,
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)  # noqa: FBT003 - as sockets have it
        return cls(program, ours, apart)

    def readiness(self, limits: Limits) -> str:
        """Why a function cannot be asked; empty where it can."""
        try:
            answer = _read(self.exchange(b"", 1, limits.seconds)[0])
        except TimeoutError:
            return f"it was not loaded within {limits.seconds} s"
        except (EOFError, OverflowError, OSError):
            return _ending(self.end(LAST), limits)
        if isinstance(answer, dict) and "ready" in answer:
            return ""
        if isinstance(answer, dict) and "unconfined" in answer:
            return (
                f"{_shown(answer['unconfined'])} keeps it from being run apart from everything else"
            )
        return _told(answer, limits)

    def exchange(self, message: bytes, lines: int, seconds: float) -> list[bytearray]:
        """So many lines that answer; raises TimeoutError, OverflowError, EOFError, OSError. Both ways at once: pipes are short."""
        deadline, heard, left = time.monotonic() + seconds, bytearray(), memoryview(message)
        with selectors.DefaultSelector() as ready:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            ready.register(self.channel, both if left else selectors.EVENT_READ)
            while lines > 0:
                for _key, what in ready.select(max(0.0, deadline - time.monotonic())):
                    if what & selectors.EVENT_WRITE:
                        left = left[self.channel.send(left[:CHUNK]) :]
                        if not left:
                            ready.modify(self.channel, selectors.EVENT_READ)
                    if what & selectors.EVENT_READ:
                        heard += (part := self._part())
                        lines -= part.count(b"\n")
                if len(heard) > MOST:
                    raise OverflowError
                if time.monotonic() > deadline:
                    raise TimeoutError
        return heard.splitlines()

    def _part(self) -> bytes:
        if not (part := self.channel.recv(CHUNK)):
            raise EOFError
        return part

    def end(self, patience: float = 0) -> int:
        """End it and all that it has started; its exit status.

        One that is kept apart ends all of its own when our side closes; what it could do about that is nothing.
        """
        self.channel.close()
        with suppress(subprocess.TimeoutExpired):
            self.program.wait(max(patience, LAST if self.apart else 0))
        status = self.program.poll()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.program.pid, signal.SIGKILL)
        self.program.wait()
        return -signal.SIGKILL if status is None else status


def _read(line: bytearray) -> Any:  # noqa: ANN401 - whatever it wrote
    """A line of JSON; of any other the beginning, which is no number."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line[:SHOWN].decode(errors="replace")


def _number(name: str, value: object, place: int) -> float:
    about = "" if name == ALONE else f" as {name}"
    if not isinstance(value, int | float):
        raise CodeError(f"it gave {_shown(value)}{about}, which is no number", place)
    with suppress(OverflowError):
        if math.isfinite(number := float(value)):
            return number
    raise CodeError(f"it gave {_shown(value)}{about}, which is no finite number", place)


def _shown(value: object) -> str:
    """The beginning of a value, as sentences show it."""
    said = value if isinstance(value, str) else json.dumps(value, default=str)
    return "".join(c if c.isprintable() else "�" for c in said[:SHOWN]) or "nothing"


def _told(answer: object, limits: Limits) -> str:
    """What a program says instead of values, as the end of a sentence."""
    if isinstance(answer, dict) and "memory" in answer:
        return _ending(NO_MEMORY, limits)
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        return "".join(c if c.isprintable() else "�" for c in answer["error"])
    return "it wrote what is no answer where its values are awaited"


def _ending(status: int, limits: Limits) -> str:
    """What ended a program, as the end of a sentence."""
    if status == NO_MEMORY and limits.mebibytes:
        return f"it asked for more than {limits.mebibytes:,} MiB of memory"
    return f"its program ended before it had answered (status {status})"


@cache
def confinement_fault() -> str:
    """Why code of others cannot be kept apart on this machine; empty where it can."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "probe.py")
        file.write_text(PROBE, encoding="utf-8")
        code = RewardCode(Code(file, "probe"), Limits(10, 256))
        try:
            code.parts([{"prompt": "", "messages": [], "completion": "", "columns": {}}])
        except (ConfigError, CodeError) as error:
            return str(error)
        finally:
            code.end()
    return ""
