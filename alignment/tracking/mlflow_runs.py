"""Runs told to MLflow, whose own variables say where it is: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

import os
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from alignment.tracking.following import Numbers

EXPERIMENT = "attune"  # where none is named
AT_ONCE = 1000  # numbers of a request, as its servers take them
LONGEST = 500  # letters of a setting
# A server that is away is asked once more, not for minutes.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class MlflowRun:
    """One run there."""

    def __init__(self, name: str, kind: str, settings: Mapping[str, Any]) -> None:
        for variable, value in PATIENCE.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient  # noqa: PLC0415 - only where it is asked for
        from mlflow.entities import Metric, Param  # noqa: PLC0415

        self.client, self.metric = MlflowClient(), Metric
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        known = self.client.get_experiment_by_name(title)
        place = known.experiment_id if known else self.client.create_experiment(title)
        run = self.client.create_run(place, run_name=name, tags={"kind": kind})
        self.id = run.info.run_id
        params = [Param(key, str(value)[:LONGEST]) for key, value in settings.items()]
        self.client.log_batch(self.id, params=params)

    def add(self, numbers: Numbers) -> None:
        """The numbers of some steps."""
        rows = self._metrics(numbers)
        while part := list(islice(rows, AT_ONCE)):
            self.client.log_batch(self.id, metrics=part)

    def end(self, *, good: bool) -> None:
        """It is over."""
        self.client.set_terminated(self.id, status="FINISHED" if good else "FAILED")

    def _metrics(self, numbers: Numbers) -> Iterator[Any]:
        now = int(1000 * time.time())
        for step, metrics in numbers:
            for key, value in metrics.items():
                yield self.metric(key, value, now, step)
