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
    """The model, the encoder, or what rates answers; its upload is not needed any more."""
    told = {"encoder": ArtifactType.ENCODER, "rater": ArtifactType.CLASSIFIER}
    found = (type_ for name, type_ in told.items() if run.summary.get(name))
    outputs.publish_as(run, output, next(found, ArtifactType.MODEL))
    transaction.on_commit(partial(uploads.forget, first_key(run)))


def first_key(run: Run) -> str:
    """The key of the run that this one repeats, however often that was: its upload lies there."""
    while run.parent is not None:
        run = run.parent
    return run.idempotency_key
