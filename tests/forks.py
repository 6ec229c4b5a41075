"""Forks of the process that runs the tests: they need not load torch and Django again."""

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

from django.db import connections

inherited: list[Any] = []


def in_fork(act: Callable[[], int | None]) -> int:
    """Do this in a fork, and nothing else there; its process id. What it returns is its status."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        leave_connections()
        status = act() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def leave_connections() -> None:
    """Use no database connection of the process that was forked, which goes on using them.

    Beside a browser's event loop Django has other connections than without: a fork has no loop, so that it
    meets those that were opened before there was one.
    """
    for one in connections.all(initialized_only=True):
        inherited.append(one.connection)  # not closed: that would be said to the other end
        one.connection = None


class Fork:
    """A fork that does one thing, to be asked as a `subprocess.Popen` is."""

    def __init__(self, act: Callable[[], int | None]) -> None:
        self.pid = in_fork(act)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._look(os.WNOHANG)

    def wait(self) -> int | None:
        """Its exit status once it has ended."""
        return self._look(0)

    def kill(self) -> None:
        """End it without a word."""
        os.kill(self.pid, signal.SIGKILL)

    def _look(self, how: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, how)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode
