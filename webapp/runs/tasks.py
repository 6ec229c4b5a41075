"""The doorbell: a message says only that a queue has work; losing or doubling one changes nothing."""

import logging
import threading
from collections.abc import Callable, Collection
from functools import partial

from celery import shared_task
from celery.signals import worker_init, worker_ready, worker_shutdown, worker_shutting_down
from celery.worker.consumer import Consumer
from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from webapp.machine import disk
from webapp.runs import execution, workers
from webapp.runs.models import Run

BELL_REMEMBERED = 3  # rings; tend tries each time while something waits

logger = logging.getLogger(__name__)


@shared_task(expires=60, ignore_result=True)  # type: ignore[untyped-decorator]  # celery has no types
def ring(queue: str) -> None:
    """Claim the best queued run, then drive it; a late or repeated ring finds nothing to claim."""
    if disk.has_no_room():
        return  # tend rings again: what is claimed now is lost
    worker = workers.register(queue)
    if worker.draining or (run := execution.claim(queue, worker)) is None:
        return
    try:
        execution.execute(run)
    finally:
        if Run.objects.claimable(queue).exists():
            send_ring(queue)


def send_ring(queue: str) -> bool:
    """Ring; whether the broker took it. When it is away, `manage.py tend` rings later."""
    try:
        ring.apply_async((queue,), queue=queue, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("Could not ring %s, tend will: %s", queue, error)
        cache.set(_silence(queue), value=True, timeout=BELL_REMEMBERED * settings.RUN_RING)
        return False
    if silent_bells([queue]):
        cache.delete(_silence(queue))
    return True


def silent_bells(queues: Collection[str]) -> set[str]:
    """The queues that could not be rung when it was last tried: their broker is away."""
    silent = cache.get_many([_silence(queue) for queue in queues])
    return {queue for queue in queues if _silence(queue) in silent}


def _silence(queue: str) -> str:
    return f"silent-bell-{queue}"


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
    sign = partial(_in_own_connection, partial(workers.seen, next(iter(queues))))
    sign()
    sender.timer.call_repeatedly(settings.RUN_RENEW, sign)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery has no types
def on_shutting_down(**_: object) -> None:
    """Drain. In a thread: a signal handler may have interrupted a query of this one."""
    threading.Thread(target=_in_own_connection, args=(workers.drain,)).start()


@worker_shutdown.connect  # type: ignore[untyped-decorator]  # celery has no types
def on_shutdown(**_: object) -> None:
    """Deregister."""
    _in_own_connection(workers.deregister)


def _in_own_connection(write: Callable[[], None]) -> None:
    """Write and hang up, so that no pool process inherits an open connection."""
    try:
        write()
    except DatabaseError as error:
        logger.warning("The worker's row could not be written: %s", error)
    finally:
        connection.close()
