"""A model that somebody brings: where it comes from, and what it turns out to be."""

from functools import partial
from pathlib import Path

from django.db import transaction

from alignment.kinds.kind import ArtifactType
from webapp.artifacts import sources
from webapp.machine import uploads
from webapp.runs import inputs, outputs
from webapp.runs.models import Run


def prepare(run: Run, folder: Path) -> inputs.Paths:
    """Where the model comes from, and the base of an adapter."""
    base = inputs.prepare(run, folder)
    return base | sources.trainer_inputs(inputs.config_of(run), first_key(run))


def publish(run: Run, output: Path) -> None:
    """The model or encoder; its upload is not needed any more."""
    reads_only = run.summary.get("encoder")
    outputs.publish_as(run, output, ArtifactType.ENCODER if reads_only else ArtifactType.MODEL)
    transaction.on_commit(partial(uploads.forget, first_key(run)))


def first_key(run: Run) -> str:
    """The key of the run that this one repeats, however often that was: its upload lies there."""
    while run.parent is not None:
        run = run.parent
    return run.idempotency_key
