"""Sending to a webhook: one request, to a guarded address, within a time and a number of bytes; nothing is followed."""

import io
import ssl
import time
from collections.abc import Mapping
from functools import cache
from http.client import HTTPConnection, HTTPException
from typing import Any

from django.utils.translation import gettext as _

from webapp.webhooks.errors import WebhookError
from webapp.webhooks.targets import Target, connect, left, target_of

LONGEST = 10.0  # seconds, from the question for the host's address to the end of the answer's head
MOST = 64 * 1024  # bytes of an answer that are read


class Line:
    """A socket whose whole conversation ends at one moment, as `http.client` uses one."""

    def __init__(self, wire: Any, until: float) -> None:  # noqa: ANN401 - a socket, of TLS or not
        self.wire, self.until = wire, until

    def sendall(self, data: bytes) -> None:
        """Send, in what is left of the time."""
        self.wire.settimeout(left(self.until))
        self.wire.sendall(data)

    def makefile(self, *_mode: object) -> io.BufferedReader:
        """What comes back."""
        return io.BufferedReader(_Answer(self))

    def close(self) -> None:
        """Hang up."""
        self.wire.close()


class _Answer(io.RawIOBase):
    """What a line brings, up to the end of its time and to so many bytes."""

    def __init__(self, line: Line) -> None:
        self.line, self.rest = line, MOST

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - bytes to fill
        """Some of it; raises TimeoutError and HTTPException at its ends."""
        if self.rest <= 0:
            raise HTTPException("too long")
        self.line.wire.settimeout(left(self.line.until))
        number: int = self.line.wire.recv_into(memoryview(buffer)[: self.rest])
        self.rest -= number
        return number


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Send this and return the answer's status. Raises WebhookError, which says what went wrong."""
    until = time.monotonic() + LONGEST
    target = target_of(url)
    try:
        line = Line(_wire(target, until), until)
        try:
            return _ask(target, line, body, headers)
        finally:
            line.close()
    except TimeoutError:
        raise WebhookError(_("No answer came in {n} seconds.").format(n=int(LONGEST))) from None
    except ssl.SSLError as error:
        said = getattr(error, "verify_message", "") or error.reason or "TLS"
        raise WebhookError(_("No safe connection: {reason}.").format(reason=said)) from None
    except (OSError, HTTPException, ValueError) as error:
        said = getattr(error, "strerror", None) or type(error).__name__
        raise WebhookError(_("The connection failed: {reason}.").format(reason=said)) from None


def _wire(target: Target, until: float) -> Any:  # noqa: ANN401 - a socket, of TLS or not
    found = connect(target, until)
    if target.scheme != "https":
        return found
    try:
        found.settimeout(left(until))
        return _trust().wrap_socket(found, server_hostname=target.host)
    except BaseException:
        found.close()
        raise


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _ask(target: Target, line: Line, body: bytes, headers: Mapping[str, str]) -> int:
    asking = HTTPConnection(target.host, target.port)
    asking.default_port = {"https": 443}.get(target.scheme, 80)  # which a Host header leaves out
    asking.sock = line
    asking.request("POST", target.path, body=body, headers=dict(headers))
    return asking.getresponse().status
