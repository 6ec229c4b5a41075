"""A command that does one thing at a terminal: whatever ends it early is said in a sentence, and nothing of it is half done."""

import threading
from argparse import ArgumentTypeError
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from webapp.machine import database, disk
from webapp.machine.endings import ended_by_signals

LONGEST_NUMBER = 20  # digits
INTERRUPTED = 130  # as shells say it of what Ctrl-C ended
STOPPED = "Stopped before it was done. Nothing of it is half done; start it again."
FULL = "The disk is full, so nothing was done; make room and try again."
AWAY = "The database cannot be asked ({error}), so nothing was done; see to it and try again."
BUSY = "Another program holds the database, so nothing was done; try again."
OLDER = "The database is not of this version; `make run`, or `manage.py migrate`, brings it there."


class OneTask(BaseCommand):
    """Ends by a signal as by Ctrl-C, in words and with an exit code; a database that cannot be used is told, too."""

    def execute(self, *args: Any, **options: Any) -> str | None:  # noqa: ANN401 - Django's signature
        """Do it; raises CommandError for what a person mends."""
        main = threading.current_thread() is threading.main_thread()
        try:
            with ended_by_signals() if main else nullcontext():
                return super().execute(*args, **options)
        except KeyboardInterrupt as error:
            raise CommandError(STOPPED, returncode=INTERRUPTED) from error
        except DatabaseError as error:
            if words := said_of(error):
                raise CommandError(words) from error
            raise


def number_within(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that is a whole number within bounds."""

    def number_of(text: str) -> int:
        digits = text.strip().removeprefix("-")
        number = int(text) if digits.isdecimal() and len(digits) < LONGEST_NUMBER else None
        if number is None or not low <= number <= high:
            raise ArgumentTypeError(f"give a whole number from {low:,} to {high:,}")
        return number

    return number_of


def said_of(error: Exception) -> str:
    """What is wrong with the database, where a person can mend it; nothing for a bug."""
    if disk.is_full(error):
        return FULL
    if database.is_busy(error):
        return BUSY
    if database.is_away(error):
        return AWAY.format(error=" ".join(str(error).split())[:200])
    return OLDER if _is_older() else ""


def _is_older() -> bool:
    """Whether migrations wait to be made."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
