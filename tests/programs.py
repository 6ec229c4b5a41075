"""Programs of ours that are forked from one which has loaded what they are made of; `python -m tests.programs NUMBER`.

Half of what a web, a worker or tend computes in a test is importing Django, Celery and pyarrow. A test that is not
about that lets one program of this process do it, once: a fork of it is told environment, folder, files and command,
has a session of its own, and reads the settings as the program that was named does. It is our own child, to be
signalled and waited for as any other.
"""

import ctypes
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
PR_SET_CHILD_SUBREAPER = 36
LONGEST = 1 << 17  # bytes of a question
FILES = 16  # at most
# Nothing of it may ask for settings: each program reads its own.
LOADED = (
    "django.core.handlers.wsgi", "django.core.management", "django.core.cache.backends.db", "django.core.paginator",
    "django.core.files.uploadhandler", "django.core.serializers.json", "django.db.models.functions",
    "django.db.backends.sqlite3.base", "django.db.backends.postgresql.base", "django.db.migrations.executor",
    "django.forms", "django.shortcuts", "django.template.backends.django", "django.template.defaulttags",
    "django.templatetags.i18n", "django.utils.translation.trans_real", "django.views.generic",
    "django.contrib.auth.hashers", "django.contrib.auth.password_validation",
    "django.contrib.sessions.backends.base", "celery.bin.celery", "celery.bin.worker", "celery.apps.worker",
    "celery.worker.consumer", "celery.concurrency.prefork", "celery.fixups.django", "kombu.transport.redis",
    "pydantic_settings", "pyarrow.compute", "pyarrow.parquet", "markdown_it", "latex2mathml.converter", "nh3", "h11",
    "waitress", "whitenoise.base", "alignment.kinds", "alignment.rows.formats", "alignment.seam.variables",
)  # fmt: skip


class Program:
    """A child of ours, to be asked as a `subprocess.Popen` is."""

    def __init__(self, pid: int, stdin: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "wb")  # closed when we are gone, which is how it knows
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._look(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status once it has ended; raises TimeoutExpired."""
        if self.poll() is None:
            handle = os.pidfd_open(self.pid)
            try:
                if not select.select([handle], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            finally:
                os.close(handle)
        return self._look(0)

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def _look(self, how: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, how)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


class Loaded:
    """The program that has loaded everything, and waits to be forked; it ends with us."""

    def __init__(self) -> None:
        self.ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        unset = {
            name: text for name, text in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"
        }
        command = [sys.executable, "-m", "tests.programs", str(its.fileno())]
        self.program = subprocess.Popen(command, cwd=ROOT, env=unset, pass_fds=(its.fileno(),))
        its.close()

    def start(
        self, command: Sequence[str], environment: dict[str, str], log: int, handles: Sequence[int]
    ) -> Program:
        """A program of ours, as `subprocess.Popen` starts it in a session of its own, with a pipe as its input."""
        its, ours = os.pipe()
        question = {"command": command[1:], "environment": environment, "handles": handles}
        adopting(True)
        try:
            files = [its, log, log, *handles]
            socket.send_fds(self.ours, [json.dumps(question).encode()], files)
            pid = int(self.ours.recv(100))
        finally:
            adopting(False)
            os.close(its)
        return Program(pid, ours)

    def end(self) -> None:
        """Let it end."""
        self.ours.close()
        self.program.wait()


def adopting(whether: bool) -> None:
    """Whether a program below us whose starter ends becomes our child."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0)


def main(number: int) -> list[str]:
    """Load everything, and fork whenever somebody asks; the command of a fork, which is all that returns."""
    for name in LOADED:
        import_module(name)
    with socket.socket(fileno=number) as asker:
        while True:
            question, files, *_ = socket.recv_fds(asker, LONGEST, FILES)
            if not question:
                sys.exit()
            pid, told = forked(json.loads(question), files)
            if not pid:
                break
            for file in files:
                os.close(file)
            asker.sendall(str(pid).encode())
            os.close(told)  # from here on it is theirs
    return become(json.loads(question), files, told)


def forked(question: dict[str, object], files: list[int]) -> tuple[int, int]:
    """Fork a program that is nobody's child, with a pipe that closes once that is so; it has no process id of its own."""
    told, tell = os.pipe()
    says, said = os.pipe()
    if between := os.fork():
        os.close(told)
        os.close(said)
        os.waitpid(between, 0)
        with os.fdopen(says) as pipe:
            return int(pipe.read()), tell
    if pid := os.fork():
        os.write(said, str(pid).encode())
        os._exit(0)
    os.close(tell)
    os.close(says)
    os.close(said)
    return 0, told


def become(question: dict[str, object], files: list[int], told: int) -> list[str]:
    """Stand where the program should: files, session, environment; its command."""
    os.read(told, 1)  # until whoever asked is our parent
    os.close(told)
    os.setsid()
    high = [os.dup2(file, 512 + place) for place, file in enumerate(files)]
    for file in files:
        os.close(file)
    for file, target in zip(high, [0, 1, 2, *question["handles"]], strict=True):
        os.dup2(file, target)
        os.close(file)
    os.environ.clear()
    os.environ.update(question["environment"])
    sys.argv = question["command"]
    return sys.argv


if __name__ == "__main__":
    if (command := main(int(sys.argv[1])))[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(command[0], run_name="__main__")
