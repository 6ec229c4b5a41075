"""`python -m webapp.serving`: the web program, on a port of this machine or on a socket that listens already.

SIGTERM and SIGINT end it: nobody new is let in, who waits for an answer gets it.
"""

import logging
import os
import resource
import signal
import socket
import sys
import time
from argparse import ArgumentParser, Namespace
from functools import partial

from django.conf import settings
from django.core.servers.basehttp import get_internal_wsgi_application
from django.db import close_old_connections
from waitress import wasyncore
from waitress.adjustments import Adjustments

from webapp.machine.bodies import FORM
from webapp.serving.admission import admitted
from webapp.serving.connections import MOST, Application, Rules, WebServer
from webapp.serving.turns import Turns

GRACE = 8.0  # seconds for the answers that somebody waits for
TURN = 1.0  # seconds, where nothing happens
BACKLOG = 1024
HANDLES = 4 * MOST  # open files: connections, and what is sent over them


class OurRules:
    """What the server asks of our settings and rows."""

    def __init__(self) -> None:
        self.proxies = settings.ALLAUTH_TRUSTED_PROXY_COUNT

    def admitted(self, path: str, cookies: str, authorization: str) -> int | None:
        """The bytes that may come with a request; None where nobody can say."""
        close_old_connections()
        try:
            return admitted(path, cookies, authorization)
        finally:
            close_old_connections()


def command_line(arguments: list[str]) -> Namespace:
    """The command line."""
    parser = ArgumentParser(prog="python -m webapp.serving", description=__doc__.split("\n")[0])
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--port", type=int, help="of this machine, to listen on")
    place.add_argument("--handle", type=int, help="of a socket that listens already")
    parser.add_argument(
        "--threads", type=int, default=8, help="how many requests are answered at once"
    )
    return parser.parse_args(arguments)


def socket_of(asked: Namespace) -> socket.socket:
    """The socket on which people come; raises OSError where the port cannot be had."""
    if asked.handle is not None:
        return socket.socket(fileno=asked.handle)
    return socket.create_server(("127.0.0.1", asked.port), backlog=BACKLOG)


def server_on(
    place: socket.socket, threads: int, application: Application, rules: Rules
) -> WebServer:
    """An application on a listening socket."""
    adjusted = Adjustments(
        sockets=[place],
        threads=threads,
        backlog=BACKLOG,
        recv_bytes=1 << 16,
        connection_limit=2 * MOST,  # ours is kept before
        cleanup_interval=1,
        max_request_body_size=most_bytes(),
        clear_untrusted_proxy_headers=False,
        ident=None,
        server_name="localhost",
    )
    about = (place.family, place.type, place.proto, place.getsockname())
    known = {"_sock": place, "sockinfo": about, "bind_socket": False, "map": {}}
    return WebServer(application, rules, dispatcher=Turns(threads), adj=adjusted, **known)


def answer_until_asked_to_end(server: WebServer) -> None:
    """Answer until a signal asks for the end."""
    ending: list[int] = []

    def end(number: int, _frame: object) -> None:
        ending.append(number)
        server.pull_trigger()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    turn = partial(wasyncore.loop, use_poll=True, map=server._map, count=1)
    while not ending:
        turn(timeout=TURN)
    server.stop_listening()
    last = time.monotonic() + GRACE
    while server.is_busy() and time.monotonic() < last:
        turn(timeout=0.1)
    server.task_dispatcher.shutdown(timeout=1)


def most_bytes() -> int:
    """The bytes that nobody may send more of, whatever it is."""
    return int(settings.MODEL_GIB * 2**30 + settings.IMPORT_LIMIT + FORM)


def set_up_logs() -> None:
    """Requests go to standard output, as they are; a queue of requests is no news."""
    handler = logging.StreamHandler(sys.stdout)
    access = logging.getLogger("webapp.serving.access")
    access.addHandler(handler)
    access.propagate = False
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def raise_limits() -> None:
    """As many open files as connections may need, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HANDLES if hard == resource.RLIM_INFINITY else min(HANDLES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(arguments: list[str]) -> None:
    """Serve."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    asked = command_line(arguments)
    place = socket_of(asked)
    set_up_logs()
    raise_limits()
    answer_until_asked_to_end(
        server_on(place, asked.threads, get_internal_wsgi_application(), OurRules())
    )


if __name__ == "__main__":
    main(sys.argv[1:])
