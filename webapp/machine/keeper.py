"""Keeps programs running: what ends is started again, later each time, and never takes others down.

A program that ends soon after its start, time after time, loops: it is named, with its log, and is
tried again once a minute. Whether that ends everything is for the starter to say (`vital`).
"""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from webapp.machine import disk, programs
from webapp.machine.guard import COMMAND as GUARD
from webapp.machine.programs import Report

TURN = 0.2  # seconds between two looks
LASTS = 15.0  # seconds; what ends earlier than that after its start ended soon
LOOPS = 5  # soon, so many times in a row
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
STOP_TIMEOUT = 20.0  # seconds; a worker saves its run first

logger = logging.getLogger(__name__)


class StackError(Exception):
    """A program did not start, or ended by itself; the message names its log."""


@dataclass
class _Kept:
    """A program: its command, the guard that runs it now, and how often that ended."""

    name: str
    command: tuple[str, ...]
    log: Path
    handles: tuple[int, ...] = ()  # open files that it gets from us
    guard: "subprocess.Popen[bytes] | None" = None
    since: float = 0.0  # by the wall clock, for people
    begun: float = 0.0  # by the monotonic clock, as `due`
    due: float = 0.0  # when it is started again
    soon: int = 0  # ends in a row that came soon
    restarts: int = 0
    ended: str = ""

    @property
    def loops(self) -> bool:
        """Whether it ends again and again soon after its start."""
        return self.soon >= LOOPS

    def report(self) -> Report:
        """What the dashboard shows."""
        state = "looping" if self.loops else "waiting" if self.guard is None else "running"
        log = str(self.log)
        return Report(self.name, state, self.since, self.restarts, self.ended, log)

    def start(self, environment: dict[str, str]) -> None:
        """Start it below a guard, which ends when we do and writes its log; raises OSError."""
        self.guard = subprocess.Popen(  # noqa: S603 - our own programs
            [*GUARD, "--log", str(self.log), *self.command],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=self.handles,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end them
        )
        self.begun, self.since = time.monotonic(), time.time()

    def note_end(self, how: str) -> None:
        """It ended: what is left of it is ended too, and it is due again after a pause."""
        if self.guard is not None:
            clear(self.guard)
        now = time.monotonic()
        lasted = self.guard is not None and now - self.begun > LASTS
        self.soon = 1 if lasted else self.soon + 1
        self.guard, self.ended, self.since = None, how, time.time()
        self.due = now + pause_after(self.soon)


class Keeper:
    """Starts programs by name, starts them again, and ends them all.

    `vital` names those without which nothing is left to keep.
    """

    def __init__(self, var: Path, vital: Collection[str] = ("web",)) -> None:
        self.logs = var / "logs"
        self.place = var / "programs.json"
        self.vital = vital
        self.kept: dict[str, _Kept] = {}
        self._over = threading.Event()
        self._fatal = threading.Event()
        self._thread: threading.Thread | None = None
        self._last: list[Report] = []

    @property
    def environment(self) -> dict[str, str]:
        """Of every program: ours, and where the dashboard finds what we say."""
        told = {
            programs.PLACE: str(self.place),
            "ATTUNE_VAR": str(self.place.parent),
        }  # wherever we were started
        return os.environ | told

    def start(self, name: str, *command: str, handles: tuple[int, ...] = ()) -> None:
        """Start a program for the first time; raises StackError."""
        kept = self.kept[name] = _Kept(name, command, self.logs / f"{name}.log", handles)
        try:
            kept.start(self.environment)
        except (OSError, MemoryError) as error:
            raise StackError(f"{name} could not be started: {error}.") from error

    def expect(self) -> None:
        """Raise StackError where a program has ended that has never been kept: a failed start."""
        for kept in self.kept.values():
            if kept.guard is None or kept.guard.poll() is not None:
                raise StackError(f"{kept.name} ended by itself; see {kept.log}")

    def keep(self) -> None:
        """From now on start again what ends, in a thread of our own."""
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise StackError when a program loops without which nothing is left to keep."""
        if self._thread is None:
            self.expect()
        for kept in self.kept.values():
            if self._fatal.is_set() and kept.name in self.vital and kept.loops:
                raise StackError(
                    f"{kept.name} ended {kept.soon} times in a row soon after its start, the last "
                    f"time with {kept.ended}; see {kept.log}"
                )

    def pause(self, seconds: float) -> None:
        """Let time pass, but not beyond what `check` would raise."""
        self._fatal.wait(seconds)

    def turn(self) -> None:
        """One look at every program: note what ended, start what is due, tell the dashboard."""
        for kept in list(self.kept.values()):
            if kept.guard is not None and kept.guard.poll() is not None:
                self._note_end(kept, _in_words(kept.guard.returncode))
            elif kept.guard is None and time.monotonic() >= kept.due:
                self._start_again(kept)
            elif kept.loops and time.monotonic() - kept.begun > LASTS:
                kept.soon = 0  # it stays up now
        self._tell()

    def stop(self, last: Collection[str] = ()) -> None:
        """End all programs at once, then the last ones, which those need; wait until all are gone."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        kept, self.kept = self.kept, {}
        for late in (False, True):
            found = [one for name, one in kept.items() if (name in last) is late]
            end([one.guard for one in found if one.guard is not None])
        with suppress(OSError):
            self.place.unlink(missing_ok=True)

    def _keep(self) -> None:
        while not self._over.wait(TURN):
            try:
                self.turn()
            except Exception:  # whatever it is, the programs outlive it
                logger.exception("The keeper stumbled, and goes on.")

    def _start_again(self, kept: _Kept) -> None:
        try:
            kept.start(self.environment)
            kept.restarts += 1
        except (OSError, MemoryError) as error:  # no room for another process: later, perhaps
            self._note_end(kept, f"not started: {error}")

    def _note_end(self, kept: _Kept, how: str) -> None:
        kept.note_end(how)
        logger.warning("%s ended (%s); see %s", kept.name, how, kept.log)
        if kept.loops and disk.is_in_need():
            kept.soon = LOOPS - 1  # no fault of its own: tried on until there is room
            kept.ended = f"{how}; the disk is full"
            kept.due = time.monotonic() + pause_after(kept.soon)
        elif kept.loops and kept.name in self.vital:
            self._fatal.set()

    def _tell(self) -> None:
        reports = [kept.report() for kept in list(self.kept.values())]
        if reports != self._last or not self.place.exists():
            programs.write(self.place, reports)
            self._last = reports


def pause_after(soon: int) -> float:
    """Seconds to wait before the next start, after so many ends in a row that came soon."""
    if soon >= LOOPS:
        return LONGEST_PAUSE
    return FIRST_PAUSE * 2.0 ** max(soon - 1, 0)


def _in_words(status: int) -> str:
    """How a program ended, which its guard ends as."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def end(guards: "Sequence[subprocess.Popen[bytes]]") -> None:
    """Ask guarded programs to end; after the timeout kill their guards and all that hangs on them."""
    for guard in guards:
        if guard.poll() is None:
            guard.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    for guard in guards:
        try:
            guard.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()
        clear(guard)


def clear(guard: "subprocess.Popen[bytes]") -> None:
    """End what a dead guard has left in its process group, so that nothing runs twice."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(guard.pid, signal.SIGKILL)
    if guard.stdin:
        guard.stdin.close()
