"""A population's output: a model version of each agent."""

from pathlib import Path

from alignment.kinds.kind import ArtifactType
from alignment.kinds.settings.divergences import agent_title
from webapp.artifacts.store import store
from webapp.runs.models import Run


def publish(run: Run, output: Path) -> None:
    """One model version per agent; each is a folder with a manifest of its own."""
    for agent in run.config["divergences"]:  # PostgreSQL keeps no order of an object's names
        store(
            output / agent,
            project=run.project,
            type=ArtifactType.MODEL,
            name=f"{run.name}: {agent_title(agent)}",
            producer_id=run.pk,
            summary=run.summary["agents"][agent],
        )
