"""A pretrained model, which writes, or reads both ways as an encoder does."""

from pathlib import Path

from alignment.kinds.kind import ArtifactType
from webapp.runs import outputs
from webapp.runs.models import Run


def publish(run: Run, output: Path) -> None:
    """A model, or an encoder where it learned to fill in what is hidden."""
    reads_only = run.summary.get("encoder")
    outputs.publish_as(run, output, ArtifactType.ENCODER if reads_only else ArtifactType.MODEL)
