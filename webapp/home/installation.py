"""What whoever runs Attune looks after: disk, workers, broker, versions, jobs and who is signed in."""

import platform
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from alignment.kinds.kind import Work
from webapp.accounts.models import Session
from webapp.artifacts.models import Artifact
from webapp.jobs.models import Job
from webapp.jobs.models import State as JobState
from webapp.machine import disk, programs
from webapp.machine.programs import Report
from webapp.projects.models import Project
from webapp.queue.bell import silent_bells
from webapp.runs.models import Checkpoint, Run, Worker
from webapp.runs.services import code_version
from webapp.runs.waiting import live_workers

SHOWN = 20  # jobs, and workers, of a page
# What results depend on, and what people ask for first where something does not work.
LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pyarrow",
    "django",
    "celery",
)


class Size(NamedTuple):
    """Something that takes room."""

    what: str
    bytes: int


class Installation(NamedTuple):
    """How it does now."""

    full: bool  # whether the disk takes nothing more
    sizes: Sequence[Size]
    workers: Sequence[Worker]
    live: set[int]  # of these, who was heard of lately
    programs: Sequence[Report]
    silent: Sequence[str]  # queues that could not be rung when it was last tried
    waiting: Sequence[Job]  # and those that are worked on
    failed: Sequence[Job]
    runs: int  # that are not over
    sessions: int
    people: int  # who have them
    removing: int  # projects that are to be deleted


def installation() -> Installation:
    """All that the page shows of it."""
    jobs = Job.objects.select_related("project", "created_by").order_by("-pk")
    sessions = Session.objects.filter(person__isnull=False, expire_date__gt=Now())
    signed_in = sessions.aggregate(n=Count("pk"), people=Count("person", distinct=True))
    return Installation(
        full=disk.has_no_room(),
        sizes=_sizes(),
        workers=list(Worker.objects.order_by("-last_seen")[:SHOWN]),
        live=set(live_workers().values_list("pk", flat=True)),
        programs=programs.read(),
        silent=sorted(silent_bells([*Work, settings.JOB_QUEUE])),
        waiting=list(jobs.filter(state__in=(JobState.QUEUED, JobState.WORKING))[:SHOWN]),
        failed=list(jobs.filter(state=JobState.FAILED)[:SHOWN]),
        runs=Run.objects.under_way().count(),
        sessions=signed_in["n"],
        people=signed_in["people"],
        removing=Project.objects.filter(delete_after__isnull=False).count(),
    )


def versions() -> list[tuple[str, str]]:
    """Of the code, of Python, of the database and of the libraries, each by its name."""
    ours = (_("Code"), code_version()), ("Python", platform.python_version()), _database_version()
    return [*ours, *((one, metadata.version(one)) for one in LIBRARIES)]


def _sizes() -> list[Size]:
    """By rows, as far as they say it: to walk through all folders would take minutes."""
    each = Artifact.objects.order_by().values("manifest_sha256").annotate(size=Max("bytes"))
    stored = each.aggregate(total=Sum("size"))["total"]
    checkpoints = Checkpoint.objects.filter(deleted=False).aggregate(total=Sum("bytes"))["total"]
    usage = shutil.disk_usage(settings.VAR)
    return [
        Size(_("Free"), usage.free),
        Size(_("Disk"), usage.total),
        Size(_("Database"), _database_bytes()),
        Size(_("Artifacts"), stored or 0),
        Size(_("Checkpoints"), checkpoints or 0),
        Size(_("Logs"), _bytes_in(Path(settings.VAR) / "logs")),
    ]


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())


def _database_bytes() -> int:
    if connection.vendor != "sqlite":
        return int(_asked("SELECT pg_database_size(current_database())"))
    place = Path(connection.settings_dict["NAME"])
    return sum(path.stat().st_size for path in place.parent.glob(f"{place.name}*"))


def _database_version() -> tuple[str, str]:
    if connection.vendor != "sqlite":
        return "PostgreSQL", _asked("SHOW server_version")
    return "SQLite", _asked("SELECT sqlite_version()")


def _asked(statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return str(cursor.fetchone()[0])
