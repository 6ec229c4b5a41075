"""Runs that go on from the checkpoint of a finished one, with more steps; what that is told of them."""

from django.utils.translation import gettext_noop

from alignment.kinds import KINDS
from alignment.kinds.extension import lengths_of
from alignment.seam.words import said
from webapp.runs.models import Checkpoint, Run, State


def checkpoint_to_extend(run: Run) -> Checkpoint | None:
    """The newest checkpoint of a run that succeeded, where its kind can be longer; None where there is none."""
    if run.state != State.SUCCEEDED or not lengths_of(KINDS[run.kind]):
        return None
    return run.checkpoints.filter(deleted=False).order_by("-step", "-epoch").first()


def can_be_extended(run: Run) -> bool:
    """Whether `checkpoint_to_extend` finds one, from the checkpoints that were read with the run."""
    kept = any(not one.deleted for one in run.checkpoints.all())
    return kept and run.state == State.SUCCEEDED and bool(lengths_of(KINDS[run.kind]))


def told_of(checkpoint: Checkpoint) -> str:
    """Where a run began that extends another, for its history."""
    words = gettext_noop("Goes on from step {step} of “{name}” (run {number}).")
    run = checkpoint.run
    return said(words, step=checkpoint.step, name=run.name, number=run.pk)
