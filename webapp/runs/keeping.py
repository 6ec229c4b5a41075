"""What is kept on disk and for how long, and when there is too little room to begin."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Max, QuerySet
from django.utils.translation import gettext as _

from webapp.artifacts.store import store_time
from webapp.jobs.models import Job
from webapp.machine import disk, uploads
from webapp.runs.errors import RunError
from webapp.runs.models import FINAL, Checkpoint, Run
from webapp.site.clock import after
from webapp.site.templatetags.display import filesize

KEPT = timedelta(days=7)  # checkpoints of a run that is over: its result is an artifact of its own
TORN = timedelta(days=1)  # what was being written and never became whole
PAUSE = timedelta(hours=1)  # between two looks through the folders
BATCH = 100  # checkpoints of one turn
ASIDE = ("blobs/sha256/*/.tmp-*", "runs/*/e*/.tmp-*", "incoming/*")
GIB = 1 << 30


def need_room() -> None:
    """Raise RunError where a run might fill the disk, by the largest checkpoint that there is."""
    needed, free = needed_bytes(Checkpoint.objects.filter(deleted=False)), free_bytes()
    if free < needed:
        raise RunError(
            _(
                "{free} are free where models are kept, and a run may need {needed}. Make "
                "room, or let whoever runs Attune lower ATTUNE_DISK_RESERVE_GIB."
            ).format(free=filesize(free), needed=filesize(needed))
        )


def has_room(run: Run) -> bool:
    """Whether a run that filled the disk would find room now for what it writes."""
    return free_bytes() >= needed_bytes(run.checkpoints.all()) and not disk.has_no_room()


def needed_bytes(checkpoints: QuerySet[Checkpoint]) -> int:
    """Two of the largest at once, and what stays free whatever runs."""
    largest = checkpoints.aggregate(most=Max("bytes"))["most"] or 0
    return 2 * largest + int(settings.DISK_RESERVE_GIB * GIB)


def free_bytes() -> int:
    """Room on the disk that holds the store, which may not be there yet."""
    place = Path(settings.STORE)
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def drop_old_checkpoints() -> int:
    """Remove checkpoints of runs that were over long ago; how many."""
    over = Checkpoint.objects.filter(deleted=False, run__state__in=FINAL)
    asked = Run.objects.under_way().filter(resume_from__isnull=False).values("resume_from")
    old = over.filter(run__ended_at__lt=after(-KEPT.total_seconds())).exclude(pk__in=asked)
    return sum(_drop(checkpoint) for checkpoint in old.order_by("pk")[:BATCH])


def sweep() -> int:
    """Remove what was torn a day ago, at most once an hour; how many."""
    mark = Path(settings.STORE) / ".swept"
    if not mark.parent.exists():
        return 0
    now = store_time()
    if not _older(mark, PAUSE, now):
        return 0
    with suppress(OSError):  # a full disk is the last reason not to sweep
        mark.touch()
    torn = [*_torn(now), *_left_uploads(now)]
    for path in torn:
        remove(path)
    return len(torn)


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as it goes."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _drop(checkpoint: Checkpoint) -> bool:
    if not Checkpoint.objects.filter(pk=checkpoint.pk, deleted=False).update(deleted=True):
        return False  # another janitor did
    shutil.rmtree(Path(settings.STORE) / checkpoint.path, ignore_errors=True)
    return True


def _torn(now: float) -> Iterator[Path]:
    for pattern in ASIDE:
        for path in Path(settings.STORE).glob(pattern):
            if path.is_dir() and _older(path, TORN, now):
                yield path


def _left_uploads(now: float) -> Iterator[Path]:
    """What was uploaded a day ago for a job or a run that does not wait for it (any more)."""
    for path in uploads.kept():
        jobs = Job.objects.filter(payload__upload=path.name)
        runs = Run.objects.filter(idempotency_key=path.name).exclude(state__in=FINAL)
        if _older(path, TORN, now) and not jobs.exists() and not runs.exists():
            yield path


def _older(path: Path, age: timedelta, now: float) -> bool:
    """Whether a path was changed so long ago; so was one that is not there."""
    try:
        changed = path.stat().st_mtime
    except FileNotFoundError:
        return True
    return now - changed > age.total_seconds()
