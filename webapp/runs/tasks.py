"""What a worker of runs does when the bell rings, and what it says of itself."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from celery import shared_task
from celery.signals import worker_init, worker_ready, worker_shutdown, worker_shutting_down
from celery.worker.consumer import Consumer
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from webapp.jobs.tend import release_left_jobs, ring_jobs
from webapp.machine import disk
from webapp.queue.bell import ring_for
from webapp.runs import execution, recovery, workers
from webapp.runs.followers import followers_of, tell_followers
from webapp.runs.models import Run
from webapp.runs.points import LAST

logger = logging.getLogger(__name__)


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]  # celery has no types
def ring(queue: str) -> None:
    """Claim the best queued run, then drive it; a late or repeated ring finds nothing to claim."""
    if disk.has_no_room():
        return  # tend rings again: what is claimed now is lost
    worker = workers.register(queue)
    if worker.draining or (run := execution.claim(queue, worker)) is None:
        return
    followers = followers_of(run)
    try:
        execution.execute(run, followers)
    finally:
        tell_followers(followers, LAST)
        if Run.objects.claimable(queue).exists():
            send_ring(queue)


def send_ring(queue: str) -> bool:
    """Say that the queue has work; whether the broker took it."""
    return ring_for(ring, queue, queue=queue)


@worker_init.connect  # type: ignore[untyped-decorator]  # celery has no types
def on_init(**_: object) -> None:
    """Name the worker before its pool inherits the name."""
    workers.name_this_worker()


@worker_ready.connect  # type: ignore[untyped-decorator]  # celery has no types
def on_ready(sender: Consumer, **_: object) -> None:
    """Register, and say from now on that the worker is alive, also while it is idle."""
    queues = sender.app.amqp.queues.consume_from
    if settings.JOB_QUEUE in queues:
        return  # it takes no runs
    queue = next(iter(queues))
    sign = partial(_in_own_connection, partial(workers.seen, queue))
    sign()
    _in_own_connection(partial(_recover, queue))
    if settings.SPARE and queue == settings.RUN_QUEUE:
        measure = partial(workers.measure_machine, Path(settings.VAR) / "cache")
        threading.Thread(target=_in_own_connection, args=(measure,), daemon=True).start()
    sender.timer.call_repeatedly(settings.RUN_RENEW, sign)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery has no types
def on_shutting_down(**_: object) -> None:
    """Drain. In a thread: a signal handler may have interrupted a query of this one."""
    threading.Thread(target=_in_own_connection, args=(workers.drain,)).start()


@worker_shutdown.connect  # type: ignore[untyped-decorator]  # celery has no types
def on_shutdown(**_: object) -> None:
    """Deregister."""
    _in_own_connection(workers.deregister)


def _recover(queue: str) -> None:
    """Whoever starts after a crash goes on with what was left."""
    if queue == settings.LIVE_QUEUE:  # somebody looks at a page and waits
        release_left_jobs()
        ring_jobs()
    if recovery.recover() and Run.objects.claimable(queue).exists():
        send_ring(queue)


def _in_own_connection(write: Callable[[], None]) -> None:
    """Write and hang up, so that no pool process inherits an open connection."""
    try:
        write()
    except DatabaseError as error:
        logger.warning("The worker's row could not be written: %s", error)
    finally:
        connection.close()
