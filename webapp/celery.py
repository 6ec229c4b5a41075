"""The Celery application; its tasks only ring doorbells (runs/tasks.py)."""

import os
from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.signals import celeryd_init
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from alignment.seam.priority import give_way

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "webapp.queue.transport:Transport"))
app = Celery("attune")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect  # type: ignore[untyped-decorator]  # celery has no types
def give_way_to_people(options: Mapping[str, Any], **_more: object) -> None:
    """Let a worker of short work alone (imports, exports) go after whoever answers people; raises ConfigError."""
    if options.get("queues") in (settings.JOB_QUEUE, [settings.JOB_QUEUE]):
        give_way()
