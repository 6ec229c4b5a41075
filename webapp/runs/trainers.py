"""Processes of trainers: one that is started for its run, or a spare that was started before it.

A trainer loads torch and all that runs need for seconds before it can begin. While a run computes, one more
trainer does so and waits: the next run is given to it and begins at once. A spare serves one run, as a
process of its own like any other, and is started with what a fresh one would be started with.
"""

import logging
import socket
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from django.conf import settings

from alignment.seam import memory_use
from alignment.seam.priority import go_last
from alignment.seam.spares import send_run
from webapp.machine import guard

ROOMY = (
    8 * memory_use.GIB
)  # of memory: a spare holds half a GiB, which a run may need on a smaller machine


class Spare(NamedTuple):
    """A trainer without a run, our end of its socket, and the environment that it was started with."""

    process: "subprocess.Popen[bytes]"
    channel: socket.socket
    environment: Mapping[str, str]

    def end(self) -> None:
        """End it, with no run or before its run: its guard sees that nobody wants it."""
        self.channel.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


logger = logging.getLogger(__name__)
_spares: deque[Spare] = deque()  # of this process, one at most


def start(
    command: Sequence[str],
    folder: Path,
    log: IO[bytes],
    environment: Mapping[str, str],
    handles: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a trainer in this folder, below a guard: it ends with us, and with it all that it started."""
    return subprocess.Popen(  # noqa: S603 - a command of the settings
        [*guard.COMMAND, "--at-once", *command],
        stdin=subprocess.PIPE,  # held open: what its guard watches
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=environment,
        pass_fds=handles,
        start_new_session=True,
    )


def prepare_spare(environment: Mapping[str, str]) -> None:
    """Start a spare, unless there is one or none is wanted here."""
    if not _wanted() or (_spares and _spares[0].process.poll() is None):
        return
    end_spare()
    try:
        _spares.append(_spare(environment))
    except OSError as error:  # the run at work needs none
        logger.warning("No trainer waits for the next run: %s", error)


def _spare(environment: Mapping[str, str]) -> Spare:
    """A new one; raises OSError."""
    command = settings.SPARE_TRAINER
    ours, its = socket.socketpair()
    try:
        with its, TemporaryFile() as log:  # its run's log is told by then what it says here
            handle = its.fileno()
            process = start([*command, str(handle)], settings.BASE_DIR, log, environment, [handle])
    except OSError:
        ours.close()
        raise
    go_last(process.pid, idle=True)  # it computes for nobody yet
    return Spare(process, ours, environment)


def take_spare(
    folder: Path, log: IO[bytes], environment: Mapping[str, str], key: int | None
) -> "subprocess.Popen[bytes] | None":
    """The spare, whose run this is from now on; None where there is none like a fresh trainer.

    One that still loads does so as a fresh one would from now on, of which it has done a part.
    """
    if not _spares:
        return None
    spare = _spares.pop()
    if spare.environment == environment and spare.process.poll() is None:
        with suppress(OSError), spare.channel:
            go_last(spare.process.pid, idle=False)
            send_run(spare.channel, folder, log.fileno(), key)
            return spare.process
    spare.end()
    return None


def end_spare() -> None:
    """End the spare, where there is one."""
    while _spares:
        _spares.pop().end()


def _wanted() -> bool:
    """Whether a run here is one process that a spare could be, and memory is left for it."""
    plain = settings.TRAINER_COMMAND == settings.TRAINER
    return settings.SPARE and plain and memory_use.room() >= ROOMY
