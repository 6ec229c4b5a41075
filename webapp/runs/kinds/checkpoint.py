"""A checkpoint that becomes a model: what is held of it, until then."""

from functools import partial
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _

from webapp.machine import uploads
from webapp.runs import inputs, outputs
from webapp.runs.errors import RunError
from webapp.runs.kinds.bring import first_key
from webapp.runs.models import Run

LOADED = ("policy", "reference")  # of all that its run has read


def prepare(run: Run, _folder: Path) -> inputs.Paths:
    """What is held, and the models that its run began with; raises RunError where it is held no more."""
    place = uploads.place_of(first_key(run))
    if not place.is_dir():
        raise RunError(_("The checkpoint is not kept any more; evaluate a newer one."))
    paths = {row.role: str(row.artifact.path) for row in inputs.given(run) if row.role in LOADED}
    return paths | {"checkpoint": str(place)}


def publish(run: Run, output: Path) -> None:
    """The model; what was held is not needed any more."""
    outputs.publish(run, output)
    transaction.on_commit(partial(uploads.forget, first_key(run)))
