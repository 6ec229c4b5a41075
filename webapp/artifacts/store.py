"""Storing folders as artifacts: content-addressed, each output of a run once."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from alignment.seam.folders import manifest_sha256, size, verify
from webapp.artifacts.models import Artifact
from webapp.machine.disk import link_or_copy
from webapp.projects.models import Project

FRESH = timedelta(days=1)  # longer than any transaction that stores a row


def store(
    folder: Path,
    *,
    project: Project,
    type: str,
    name: str,
    producer_id: int | None = None,
    summary: Mapping[str, object] | None = None,
) -> Artifact:
    """Keep a committed folder and record it; a producer's output of a type and name is recorded once."""
    kept = keep(folder)
    columns = {
        "project": project,
        "manifest_sha256": kept.name,
        "bytes": size(kept),
        "summary": dict(summary or {}),
    }
    named = {"type": type, "name": name[:120]}
    if producer_id is None:
        return Artifact.objects.create(**named, **columns)
    made, _ = Artifact.objects.get_or_create(producer_id=producer_id, **named, defaults=columns)
    return made


def keep(folder: Path) -> Path:
    """The folder's place in the store, filled if it is new; raises CheckpointError for a damaged one."""
    target = Artifact(manifest_sha256=manifest_sha256(folder)).path
    with suppress(FileNotFoundError):
        os.utime(target)  # whoever removes what nobody names leaves what was found a moment ago
        return target
    verify(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".tmp-{uuid4().hex}")
    try:
        shutil.copytree(folder, aside, copy_function=link_or_copy)
        aside.rename(target)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        if not target.is_dir():  # else somebody stored the same content at the same time
            raise
    return target


def drop_folder(stored: Path) -> None:
    """Remove a stored folder that no artifact names, unless somebody stored the same within a day.

    It is moved aside first, so that nobody finds a half of it; what is left there is swept later.
    """
    aside = stored.with_name(f".tmp-{uuid4().hex}")
    with suppress(FileNotFoundError):
        if _is_fresh(stored):
            return
        stored.rename(aside)
        if _is_fresh(aside):  # somebody found it between both
            aside.rename(stored)
            return
        shutil.rmtree(aside, ignore_errors=True)


def _is_fresh(path: Path) -> bool:
    """Whether somebody may be about to name it."""
    return store_time() - path.stat().st_mtime < FRESH.total_seconds()


def store_time() -> float:
    """What time it is by the store's own clock, which is what dates its files: it may be another machine's."""
    clock = Path(settings.STORE) / ".clock"
    clock.touch()
    return clock.stat().st_mtime
