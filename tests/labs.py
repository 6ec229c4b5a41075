"""A project for runs by real programs: its prompts, and a snapshot of labels."""

import json
from datetime import UTC, datetime
from pathlib import Path

from alignment.seam.folders import committed
from alignment.world.grammar import prompts
from tests.factories import a_project, a_prompt
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.datasets.snapshots import SnapshotRow, write
from webapp.projects.models import Project


def a_lab(count: int = 60) -> Project:
    """A project with prompts in every split."""
    project = a_project()
    for (message,) in prompts(seed=1, count=count):
        a_prompt(project, message.content)
    return project


def some_labels(lab: Project, folder: Path, **columns: object) -> Artifact:
    """A snapshot in which the longer answer always wins, but for other columns."""
    rows = [
        SnapshotRow(
            **{
                "prompt_key": prompt.key,
                "split": prompt.split,
                "messages": json.dumps(prompt.messages),
                "kind": "compare",
                "items": ["Yes, with pleasure.", "No."],
                "answer": '{"choice":2}',
                "annotator": "a1",
                "created_at": datetime.now(UTC),
                "source": "label",
            }
            | columns
        )
        for prompt in lab.prompts.order_by("key")
    ]
    with committed(folder / "snapshot") as aside:
        list(write(aside, rows))
    return store(folder / "snapshot", project=lab, type=Artifact.Type.SNAPSHOT, name="Snapshot 1")
