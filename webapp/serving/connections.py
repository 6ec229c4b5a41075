"""Connections of the web program: whoever sends half a request holds none of its threads, and not for long."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask

from webapp.machine.bodies import CUT, LOST, UNKNOWN
from webapp.serving import access
from webapp.serving.arrival import UNASKED, Arrival

IDLE = 75.0  # seconds that a browser may keep a connection on which it asks nothing
UNREAD = 60.0  # seconds in which somebody must take some of an answer
TAKEN = 64 << 10  # bytes: how much, unless that is all
MOST = 1000  # connections at once
MOST_HALF = 64  # requests of one address that are not whole yet
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
LOCAL = ("127.0.0.1", "::1")


class Rules(Protocol):
    """What the server asks of its application's settings."""

    proxies: int

    def admitted(self, path: str, cookies: str, authorization: str) -> int | None:
        """The bytes that may come with a request; None where nobody can say."""
        ...


class Logged:
    """Answers, and logs that."""

    sent = 0  # bytes, of pieces whose number nobody knew before

    def service(self) -> None:
        """Answer it, and log that."""
        try:
            super().service()  # type: ignore[misc]  # waitress has no types
        finally:
            access.tell(self)

    def write(self, piece: bytes) -> None:
        """Send a piece."""
        super().write(piece)  # type: ignore[misc]  # waitress has no types
        self.sent += len(piece)


class WholeRequest(Logged, WSGITask):  # type: ignore[misc]  # waitress has no types
    """A whole request, answered by the application in a thread."""

    def get_environment(self) -> dict[str, Any]:
        """What the application is told: HTTPS where a proxy of this machine says so, and what is missing."""
        environ: dict[str, Any] = super().get_environment()
        forwarded = environ.get("HTTP_X_FORWARDED_PROTO") == "https"
        if forwarded and environ["REMOTE_ADDR"] in LOCAL:
            environ["wsgi.url_scheme"] = "https"
        if (body := self.request.body) is not None:
            unknown = body.cut and body.unknown
            missing = {CUT: body.cut, LOST: body.lost, UNKNOWN: unknown}
            environ |= {name: True for name, is_so in missing.items() if is_so}
        return environ


class NoRequest(Logged, ErrorTask):  # type: ignore[misc]  # waitress has no types
    """What is no request, answered by the server itself."""


class Admission:
    """Asks, in a thread, how much may be sent; meanwhile the connection is not read."""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection

    def service(self) -> None:
        """Ask, and let the rest come."""
        arrival, server = self.connection.request, self.connection.server
        try:
            said = (arrival.headers.get(name, "") for name in ("COOKIE", "AUTHORIZATION"))
            most = server.rules.admitted(arrival.path, *said)
            arrival.body.limit = max(UNASKED, most or 0)
            arrival.body.unknown = most is None
            arrival.wait_anew()
        finally:
            self.connection.asked = False
            server.pull_trigger()

    def cancel(self) -> None:
        """The server ends."""


class Connection(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One connection."""

    parser_class = Arrival
    task_class = WholeRequest
    error_task_class = NoRequest
    asked = False  # it is being asked how much may come
    judged: Arrival | None = None  # the last of which that was asked
    taken = 0  # bytes of answers
    looked: tuple[float, int] | None = None  # since when one is on its way, and after how many

    def readable(self) -> bool:
        """Whether more may come now."""
        return not self.asked and bool(super().readable())

    def received(self, data: bytes) -> bool:
        """Take what came; before much more of it does, ask whether it may."""
        took = bool(super().received(data))
        arrival = self.request
        if arrival is not None and arrival is not self.judged and arrival.is_large:
            self.asked, self.judged = True, arrival
            self.server.add_task(Admission(self))
        return took

    @property
    def is_half(self) -> bool:
        """Whether a request has begun to arrive and is not whole."""
        return self.request is not None and not self.asked

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered, or its answer is on its way."""
        return bool(self.requests or self.total_outbufs_len)

    @property
    def waits_since(self) -> float:
        """By the clock of `due`: when what has not come yet was begun."""
        return float(self.request.due)

    @property
    def address(self) -> str:
        """Whose it is: behind proxies that of their client, once the head tells it."""
        told = self.request.headers.get("X_FORWARDED_FOR", "") if self.request else ""
        clients = [each.strip() for each in told.split(",")]
        proxies = self.server.rules.proxies
        known = proxies and told and len(clients) >= proxies
        return clients[-proxies] if known else str(self.addr[0])

    def send(self, data: bytes, *, do_close: bool = True) -> int:
        """Send what the other side takes."""
        count = int(super().send(data, do_close=do_close))
        self.taken += count
        return count

    def is_unread(self, clock: float) -> bool:
        """Whether an answer is on its way of which too little is taken."""
        if not self.total_outbufs_len or self.looked is None:
            self.looked = (clock, self.taken)
        since, taken = self.looked
        if clock - since <= UNREAD:
            return False
        self.looked = (clock, self.taken)
        return self.taken - taken < TAKEN

    def is_overdue(self, now: float, clock: float) -> bool:
        """Whether nothing comes, or nobody reads the answer, for longer than anybody is waited for."""
        if self.is_busy:
            return self.is_unread(clock)
        if self.is_half:
            return bool(self.request.is_late(clock))
        return not self.asked and now - self.last_activity > IDLE

    def give_up(self) -> None:
        """Close it, also where the other side takes nothing."""
        self.will_close = True
        self.handle_close()


def without_body(application: Application) -> Application:
    """The application, whose answers to HEAD are those to GET without what they would send."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = application(environ, start)
        if environ["REQUEST_METHOD"] != "HEAD":
            return body
        if hasattr(body, "close"):
            body.close()
        return []

    return answer


class WebServer(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """The listening socket and its connections."""

    channel_class = Connection

    def __init__(self, application: Application, rules: Rules, **more: Any) -> None:  # noqa: ANN401
        self.rules = rules
        super().__init__(without_body(application), **more)

    def handle_accept(self) -> None:
        """Take one more; where there are too many, close the one that has been waited for the longest."""
        super().handle_accept()
        if len(self.active_channels) > MOST:
            quiet = [one for one in self.active_channels.values() if not one.is_busy]
            if quiet:
                min(quiet, key=lambda one: one.last_activity).give_up()

    def maintenance(self, now: float) -> None:
        """Close what comes too slowly, and of each address what is too much."""
        clock = time.monotonic()
        late = [one for one in self.active_channels.values() if one.is_overdue(now, clock)]
        for one in [*late, *self._too_many()]:
            one.give_up()
        if late:
            self.logger.info("%d connections closed that sent or took nothing", len(late))

    def _too_many(self) -> list[Connection]:
        """The oldest half requests of every address that has more of them than it may."""
        by_address: dict[str, list[Connection]] = defaultdict(list)
        for one in self.active_channels.values():
            if one.is_half:
                by_address[one.address].append(one)
        return [
            one
            for half in by_address.values()
            for one in sorted(half, key=lambda one: one.waits_since)[:-MOST_HALF]
        ]

    def is_busy(self) -> bool:
        """Whether anybody waits for an answer."""
        return any(one.is_busy for one in self.active_channels.values())

    def stop_listening(self) -> None:
        """Take no more connections; others may listen on the same socket."""
        self.accepting = False
        with contextlib.suppress(OSError):
            self.del_channel()
            self.socket.close()
