"""`manage.py tend`: keep the queue going; one per installation is enough, several are harmless."""

import logging
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import Error as DatabaseError
from django.db import connection

from webapp.api.once import forget_answers
from webapp.datasets.imports.parts import tend_intakes
from webapp.home.removal import remove_projects
from webapp.jobs import tend as jobs
from webapp.labeling.services import expire_leases
from webapp.machine import database, disk
from webapp.notifications.mails import send_digests
from webapp.notifications.services import forget_notifications
from webapp.rounds.ends import tell_ended_rounds
from webapp.runs import tend as runs
from webapp.sweeps.trials import advance_all
from webapp.webhooks.tend import DUTIES as TELLING

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Tend until told to stop."""

    requires_system_checks: list[str] = []  # it serves no page
    help = "Take work back from dead workers, queue it again and ring for what waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One option."""
        parser.add_argument("--once", action="store_true", help="one turn, then exit")

    def handle(self, *, once: bool, **_: object) -> None:
        """Turn after turn, each duty at its own pace."""
        if once:
            for duty, _every in duties():
                duty()
            return
        run_duties(duties())


def duties() -> list[tuple[Callable[[], object], float]]:
    """What there is to do, and every how many seconds."""
    reap, ring = settings.RUN_REAP, settings.RUN_RING
    all_of = (
        *(*runs.DUTIES, advance_all, *jobs.DUTIES),
        *(expire_leases, tend_intakes, forget_answers, remove_projects),
        *(forget_notifications, send_digests, tell_ended_rounds, *TELLING),
    )
    done: list[tuple[Callable[[], object], float]] = [(duty, reap) for duty in all_of]
    return [*done, (runs.ring_queues, ring), (jobs.ring_jobs, ring)]


def run_duties(todo: list[tuple[Callable[[], object], float]]) -> NoReturn:
    """Call each duty every so many seconds."""
    due = [0.0] * len(todo)
    while True:
        for index, (duty, every) in enumerate(todo):
            if time.monotonic() >= due[index]:
                attempt(duty)
                due[index] = time.monotonic() + every
        time.sleep(max(0.05, min(due) - time.monotonic()))


def attempt(duty: Callable[[], object]) -> None:
    """A duty that outlives a lost database and a full disk: the next turn does what this could not."""
    try:
        duty()
    except (DatabaseError, OSError) as error:
        if disk.is_full(error):
            logger.warning("The disk is full; trying again at the next turn: %s", error)
        elif database.is_away(error) or database.is_busy(error):
            logger.warning("The database is away; trying again at the next turn: %s", error)
        else:
            logger.exception("Not now; trying again at the next turn.")
        connection.close()
