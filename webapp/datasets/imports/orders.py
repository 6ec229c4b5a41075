"""Imports, asked for once a file was looked at."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q

from webapp.accounts.models import User
from webapp.jobs.models import Job, State
from webapp.jobs.services import start_job


def start_import(preview: Job, chosen: Mapping[str, Any], *, by: User) -> Job:
    """Take in a file that was looked at, as somebody chose; a second time finds the same import.

    Where that failed or was cancelled the file is still there, and is tried again.
    """
    key = f"import-{preview.pk}"
    named = Q(key=key) | Q(key__startswith=f"{key}-")
    over = preview.project.jobs.filter(named, state__in=(State.FAILED, State.CANCELLED))
    if again := over.count():
        key = f"{key}-{again}"
    payload = {**preview.payload, **chosen}
    return start_job(preview.project, kind="import", payload=payload, key=key, by=by)
