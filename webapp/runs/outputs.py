"""What becomes of a run's output folder: an artifact of the type that its kind makes."""

from pathlib import Path

from alignment.kinds import KINDS
from webapp.artifacts.store import store
from webapp.runs.models import Run


def publish(run: Run, output: Path) -> None:
    """Store the output, in the transaction that says the run succeeded."""
    publish_as(run, output, KINDS[run.kind].makes[0])


def publish_as(run: Run, output: Path, type: str) -> None:
    """Store the output as an artifact of this type."""
    store(
        output,
        project=run.project,
        type=type,
        name=run.name,
        producer_id=run.pk,
        summary=run.summary,
    )
