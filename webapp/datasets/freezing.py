"""The job that freezes labels that are too many to wait for."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction
from pydantic import TypeAdapter

from webapp.accounts.models import User
from webapp.datasets import queries
from webapp.datasets.filters import SnapshotFilter
from webapp.datasets.services import freezing
from webapp.jobs.models import Job
from webapp.jobs.services import start_job
from webapp.jobs.work import Finish, Work
from webapp.projects.models import Project

FEW = 1_000  # rows, which take less than a second
FILTER: TypeAdapter[SnapshotFilter] = TypeAdapter(SnapshotFilter)


def freeze(job: Job) -> Work:
    """Freeze what the payload wants."""
    wanted = FILTER.validate_python(job.payload)
    folder = job.folder / "snapshot"
    finish = yield from freezing(job.project, wanted, folder, by=job.created_by)
    return partial(_finish, finish, job.folder)


def _finish(finish: Finish, folder: Path) -> Mapping[str, Any]:
    """The last step; what it was made of is kept in the store now."""
    transaction.on_commit(partial(shutil.rmtree, folder, ignore_errors=True))
    return finish()


def start_freezing(project: Project, wanted: SnapshotFilter, *, key: str, by: User) -> Job:
    """Have what is wanted frozen by a job, once per key."""
    payload = FILTER.dump_python(wanted, mode="json")
    return start_job(project, kind="freeze", payload=payload, key=key, by=by)


def is_long(project: Project, wanted: SnapshotFilter) -> bool:
    """Whether nobody should have to wait for it."""
    return queries.count_rows(project, wanted) > FEW
