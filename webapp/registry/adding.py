"""Adding models: a run of the trainer fetches, checks and tries them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from pydantic import BaseModel

from webapp.accounts.models import User
from webapp.artifacts import sources
from webapp.artifacts.models import Artifact
from webapp.projects.models import Project
from webapp.runs.keeping import need_room
from webapp.runs.models import Run
from webapp.runs.services import start_run


def add_model(  # noqa: PLR0913 - what the form asks, each once
    project: Project,
    *,
    name: str,
    config: BaseModel,
    base: Artifact | None = None,
    files: Sequence["UploadedFile[bytes]"] = (),
    key: str,
    by: User,
) -> Run:
    """Queue the run that adds a model, once per key. Raises RunError."""
    sweep_incoming()
    if files and not project.runs.filter(idempotency_key=key).exists():
        need_room()
        sources.keep_upload(key, files)
    return start_run(
        project,
        kind="import",
        name=name,
        config=config,
        inputs={"base": base} if base else {},
        key=key,
        created_by=by,
    )


def sweep_incoming() -> None:
    """Remove the half of a model that a killed trainer has left in its run's folder."""
    for folder in Path(settings.STORE).glob("runs/*/e*/incoming"):
        run, epoch = folder.parents[1].name, folder.parent.name.removeprefix("e")
        if not Run.objects.live().filter(pk=run, epoch=epoch).exists():
            shutil.rmtree(folder, ignore_errors=True)
