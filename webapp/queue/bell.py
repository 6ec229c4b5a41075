"""The doorbell: a message says only that there is work; losing or doubling one changes nothing."""

import logging
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core.cache import cache
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

REMEMBERED = 3  # rings; tend tries each time while something waits

logger = logging.getLogger(__name__)


def ring_for(task: Any, *arguments: object, queue: str) -> bool:  # noqa: ANN401 - celery has no types
    """Ring; whether the broker took it. When it is away, `manage.py tend` rings later."""
    try:
        task.apply_async(arguments, queue=queue, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("Could not ring %s, tend will: %s", queue, error)
        cache.set(_silence(queue), value=True, timeout=REMEMBERED * settings.RUN_RING)
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
