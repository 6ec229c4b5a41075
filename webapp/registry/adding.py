"""Adding models: a run of the trainer fetches, checks and tries them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from webapp.machine import uploads
from webapp.projects.models import Project
from webapp.runs.keeping import need_room
from webapp.runs.models import Run
from webapp.runs.services import Order, start_run


def add_model(project: Project, order: Order, files: Sequence["UploadedFile[bytes]"] = ()) -> Run:
    """Queue the run that adds a model, with what was uploaded of it. Raises RunError."""
    sweep_incoming()
    if files and not project.runs.filter(idempotency_key=order.key).exists():
        need_room()
        uploads.keep_files(order.key, files)
    return start_run(project, order)


def sweep_incoming() -> None:
    """Remove the half of a model that a killed trainer has left in its run's folder."""
    for folder in Path(settings.STORE).glob("runs/*/e*/incoming"):
        run, epoch = folder.parents[1].name, folder.parent.name.removeprefix("e")
        if not Run.objects.live().filter(pk=run, epoch=epoch).exists():
            shutil.rmtree(folder, ignore_errors=True)
