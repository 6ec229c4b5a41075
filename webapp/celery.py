"""The Celery application; its tasks only ring doorbells (runs/tasks.py)."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "webapp.queue.transport:Transport"))
app = Celery("attune")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
