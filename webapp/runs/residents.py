"""The program that keeps models in memory and answers at once, as a worker of live work has it.

It is started when somebody first asks, and ends by itself when nobody has asked for a while. It ends with its worker,
and is started again where it has ended.
"""

import logging
import select
import socket
import subprocess
import time
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.utils.translation import gettext as _
from pydantic import ValidationError

from alignment.seam.live import CALLED_OFF, LiveReply, LiveRequest, receive_message, send_message
from webapp.runs import trainers
from webapp.runs.errors import RunError
from webapp.runs.supervisor import environment, kill

LOOK = 0.5  # seconds between two looks whether anybody still waits
TRIES = 2  # programs that may end over one question

logger = logging.getLogger(__name__)


class Resident(NamedTuple):
    """A program and our end of what joins us."""

    process: "subprocess.Popen[bytes]"
    channel: socket.socket

    def reply(self, seconds: float) -> LiveReply | None:
        """What it says within so many seconds; raises EOFError or OSError where it has ended."""
        if not select.select([self.channel], [], [], seconds)[0]:
            return None
        try:
            return LiveReply.model_validate_json(receive_message(self.channel))
        except ValidationError as error:
            raise EOFError from error

    def call_off(self) -> None:
        """Nobody waits for what it was asked last."""
        with suppress(OSError):
            send_message(self.channel, CALLED_OFF)

    def end(self) -> None:
        """End it, with all that it started."""
        self.channel.close()
        kill(self.process)
        self.process.wait()


_residents: deque[Resident] = deque()  # of this process, one at most


def resident() -> Resident:
    """The one of this process, started where there is none."""
    if _residents and _residents[0].process.poll() is None:
        return _residents[0]
    end_resident()
    ours, its = socket.socketpair()
    log = Path(settings.VAR) / "logs" / "resident.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    limits = ["--idle", str(settings.LIVE_IDLE), "--threads", str(settings.RUN_THREADS)]
    with its, log.open("ab") as said:
        handle = its.fileno()
        command = [*settings.RESIDENT, str(handle), *limits]
        process = trainers.start(command, settings.BASE_DIR, said, environment(), [handle])
    _residents.append(Resident(process, ours))
    return _residents[0]


def end_resident() -> None:
    """End the one of this process, if there is one."""
    while _residents:
        _residents.pop().end()


def reply_to(request: LiveRequest, patience: float) -> Generator[None, None, LiveReply]:
    """The reply to a request; yields now and then while there is none, and calls it off where it is closed.

    One that ends over the question is started again, once. Raises RunError where none comes in so many seconds.
    """
    deadline = time.monotonic() + patience
    for _try in range(TRIES):
        try:
            return (yield from _asked(resident(), request, deadline))
        except (EOFError, OSError) as error:
            logger.warning("The program that answers has ended: %r", error)
            end_resident()
    raise RunError(
        _(
            "The program that answers ended twice over this. Its model may need more memory than "
            "there is; the worker's log says more."
        )
    )


def _asked(
    one: Resident, request: LiveRequest, deadline: float
) -> Generator[None, None, LiveReply]:
    """The reply of this program; raises EOFError or OSError where it has ended, RunError where it takes too long."""
    send_message(one.channel, request.model_dump_json().encode())
    try:
        while time.monotonic() < deadline:
            reply = one.reply(LOOK)
            if reply is not None and reply.id == request.id:
                return reply
            yield
    except GeneratorExit:
        one.call_off()
        raise
    end_resident()  # whatever it does, nobody can wait for it
    raise RunError(
        _("The models did not answer in time. Ask again; a shorter limit of completions is faster.")
    )
