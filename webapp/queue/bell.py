"""The doorbell: a message says only that there is work; losing or doubling one changes nothing."""

import logging
import threading
from collections.abc import Collection
from typing import Any

from django.core.cache import cache
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

WAIT = 0.8  # seconds that whoever rings waits for a broker, which may be stopped or far away
ENOUGH = 100  # messages in a queue that nobody empties: one more tells nobody anything

logger = logging.getLogger(__name__)


class _Ring(threading.Thread):
    """One message on its way, in a thread of its own: a page goes on without it after a moment."""

    def __init__(self, task: Any, arguments: tuple[object, ...], queue: str) -> None:  # noqa: ANN401 - celery has no types
        super().__init__(name=f"ring {queue}", daemon=True)
        self.task, self.arguments, self.queue = task, arguments, queue
        self.trouble: object = f"no answer within {WAIT:g} s"

    def run(self) -> None:
        """Ring, unless the queue is full of rings that nobody has heard yet."""
        try:
            with self.task.app.producer_or_acquire() as producer:
                if producer.channel.queue_declare(self.queue).message_count < ENOUGH:
                    # No expiry: the worker would compare its clock with ours.
                    self.task.apply_async(
                        self.arguments, queue=self.queue, retry=False, producer=producer
                    )
            self.trouble = None
        except (KombuError, RedisError, OSError) as error:
            self.trouble = error


def ring_for(task: Any, *arguments: object, queue: str) -> bool:  # noqa: ANN401 - celery has no types
    """Ring; whether the broker took it at once. When it is away, `manage.py tend` rings later."""
    ring = _Ring(task, arguments, queue)
    ring.start()
    ring.join(WAIT)
    if ring.trouble is not None:
        logger.warning("Could not ring %s, tend will: %s", queue, ring.trouble)
        cache.set(_silence(queue), value=True, timeout=None)
        return False
    if silent_bells([queue]):
        cache.delete(_silence(queue))
    return True


def silent_bells(queues: Collection[str]) -> set[str]:
    """The queues that could not be rung when it was last tried: their broker is away."""
    silent = cache.get_many([_silence(queue) for queue in queues])
    return {queue for queue in queues if _silence(queue) in silent}


def _silence(queue: str) -> str:
    """The name of a remark that lasts until the next ring: to let it expire would ask two clocks."""
    return f"silent-bell-{queue}"
