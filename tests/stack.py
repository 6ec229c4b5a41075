"""Real programs for a test: broker, workers, tend and web, on a VAR and a database of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection

from tests.programs import Loaded, Program
from webapp.operations import stack as programs

ROOT = Path(__file__).parent.parent
TIMES = {"LEASE": "3", "RENEW": "0.3", "POLL": "0.1", "REAP": "0.3", "RING": "0.3"} | {
    "BACKOFF": "0",
    "STOP_GRACE": "3",
}
PATIENCE = 120.0  # seconds; two cores are shared by many


class Stack:
    """Starts programs by name, kills them, and ends them all at the end."""

    def __init__(self, var: Path, socket: Path) -> None:
        self.var = var
        self.socket = socket
        self.broker_url = f"redis+socket://{self.socket}?virtual_host=0"
        self.port = programs.free_port()
        self.running: dict[str, Program | subprocess.Popen[bytes]] = {}
        self.settings = "webapp.settings"
        self.times = TIMES
        self.more: dict[str, str] = {}  # of the environment
        self.loaded: Loaded | None = None  # forks the programs, else each is a fresh interpreter

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.running):
            self.kill(name)
        self.socket.unlink(missing_ok=True)

    @property
    def url(self) -> str:
        """Where the web program answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Of every program: this VAR, this database, short times."""
        database = connection.settings_dict
        urls = {"REDIS_URL": self.broker_url}
        if connection.vendor == "sqlite":
            urls["DATABASE_URL"] = f"sqlite:///{database['NAME']}"
        else:
            user = f"{database['USER']}:{database['PASSWORD']}"
            place = f"{database['HOST']}:{database['PORT']}/{database['NAME']}"
            urls["DATABASE_URL"] = f"postgres://{user}@{place}"
        times = {f"ATTUNE_RUN_{name}": value for name, value in self.times.items()}
        return (
            os.environ
            | urls
            | times
            | {
                "ATTUNE_VAR": str(self.var),
                "ATTUNE_NAME": settings.INSTALLATION,
                "ATTUNE_THREADS": "1",
                "DJANGO_SETTINGS_MODULE": self.settings,
            }
            | self.more
        )

    def stand_in(self) -> "Stack":
        """Use the stand-in trainer in programs started from now on."""
        self.settings = "tests.stand_in_settings"
        return self

    def forked_trainers(self, place: Path) -> "Stack":
        """Use trainers from there (tests/trainers.py) in programs started from now on."""
        self.settings, self.more = "tests.forked_settings", {"ATTUNE_TRAINERS": str(place)}
        return self

    def broker(self, server: str = "") -> "Stack":
        """A Redis of the test's own, empty; of this program where one is named."""
        command = programs.broker_command()
        command[0] = server or command[0]
        command[command.index("--unixsocket") + 1] = str(self.socket)
        command[command.index("--dir") + 1] = str(self.var)
        self.socket.unlink(missing_ok=True)
        shutil.rmtree(self.var / "appendonlydir", ignore_errors=True)
        self.start("broker", *command)
        return self.until(self.socket.exists)

    def worker(self, name: str = "worker") -> "Stack":
        """A Celery worker for runs."""
        return self.start(name, *programs.worker_command())

    def short_worker(self, name: str = "worker-short") -> "Stack":
        """A Celery worker for jobs."""
        return self.start(name, *programs.worker_command("short"))

    def tend(self) -> "Stack":
        """The janitor."""
        return self.start("tend", sys.executable, "manage.py", "tend")

    def web(self) -> "Stack":
        """The web program, ready to answer."""
        self.start("web", *programs.web_command("--port", self.port))
        return self.answering()

    def webs(self, number: int) -> "Stack":
        """So many web programs on one socket, as an installation starts them."""
        with programs.listening(self.port) as place:
            for each in range(number):
                command = programs.web_command("--handle", place.fileno())
                self.start(f"web-{each}", *command, handles=(place.fileno(),))
        return self.answering()

    def answering(self) -> "Stack":
        """Once the web program answers."""
        return self.until(lambda: programs.web_answers(self.url))

    def only(self, *names: str) -> "Stack":
        """Let exactly these programs run: what is missing is started, what is left over is killed."""
        for name, program in list(self.running.items()):
            if name not in names or program.poll() is not None:
                self.kill(name)
        starts = {"worker-short": self.short_worker}
        for name in [name for name in names if name not in self.running]:
            starts.get(name, getattr(self, name, None))()
        return self

    def start(self, name: str, *command: str, handles: tuple[int, ...] = ()) -> "Stack":
        """Start a program in a process group of its own; it logs to VAR/<name>.log."""
        with (self.var / f"{name}.log").open("ab") as log:
            self.running[name] = self._started(command, log.fileno(), handles)
        return self

    def _started(
        self, command: tuple[str, ...], log: int, handles: tuple[int, ...]
    ) -> Program | subprocess.Popen[bytes]:
        if self.loaded and command[0] == sys.executable:
            return self.loaded.start(command, self.environment, log, handles)
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=handles,
            start_new_session=True,
        )

    def kill(self, name: str, number: int = signal.SIGKILL) -> "Stack":
        """Signal a program's whole group, and wait until it is gone."""
        program = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, number)
        program.wait(PATIENCE)
        return self

    def freeze(self, name: str) -> None:
        """Stop a program's whole group where it stands."""
        os.killpg(self.running[name].pid, signal.SIGSTOP)

    def freeze_between_transactions(self, name: str) -> None:
        """Freeze where no transaction is open: one that is would hold up all writers of SQLite."""
        while True:
            self.freeze(name)
            try:
                with connection.cursor() as cursor:
                    if connection.vendor == "sqlite":
                        cursor.execute("PRAGMA busy_timeout = 200")
                        cursor.execute("BEGIN IMMEDIATE")
                        cursor.execute("ROLLBACK")
                return
            except DatabaseError:
                self.thaw(name)
            finally:
                connection.close()

    def thaw(self, name: str) -> None:
        """Let a frozen program go on."""
        os.killpg(self.running[name].pid, signal.SIGCONT)

    def terminate(self, name: str) -> None:
        """Ask a program to end, as a deploy does, and wait until it has."""
        program = self.running.pop(name)
        program.terminate()
        program.wait(PATIENCE)

    def until(self, condition: Callable[[], object]) -> "Stack":
        """Wait for a condition; the logs say why when it does not come."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"It did not come to pass.\n{self.logs()}")
            time.sleep(0.05)
        return self

    def manage(self, *arguments: str, **options: object) -> str:
        """What a management command printed."""
        command = [sys.executable, "manage.py", *arguments]
        result = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            **options,
        )
        return result.stdout

    def logs(self) -> str:
        """The ends of all logs."""
        logs = [*self.var.glob("*.log"), *self.var.glob("store/runs/*/*/stdout.log")]
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in logs)
