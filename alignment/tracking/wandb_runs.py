"""Runs told to Weights & Biases, whose own variables say where: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_API_KEY."""

import os
from collections.abc import Mapping
from typing import Any

from alignment.tracking.following import Numbers

PROJECT = "attune"  # where none is named


class WandbRun:
    """One run there."""

    def __init__(self, name: str, kind: str, settings: Mapping[str, Any]) -> None:
        import wandb  # noqa: PLC0415 - only where it is asked for

        project = os.environ.get("WANDB_PROJECT") or PROJECT
        self.run = wandb.init(project=project, name=name, job_type=kind, config=dict(settings))

    def add(self, numbers: Numbers) -> None:
        """The numbers of some steps."""
        for step, metrics in numbers:
            self.run.log(dict(metrics), step=step)

    def end(self, *, good: bool) -> None:
        """It is over."""
        self.run.finish(exit_code=0 if good else 1)
