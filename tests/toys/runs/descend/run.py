"""Go down: the loss is a floor, by the settings, and what is left of a height of 1."""

import json
import math
import time
from collections.abc import Generator
from pathlib import Path

from alignment.kinds.spec import RunSpec
from alignment.seam.events import Event, Finished, Ready, StepDone
from alignment.seam.folders import committed
from tests.toys.runs.descend.settings import DescendConfig


def floor_of(config: DescendConfig) -> float:
    return math.log10(config.rate * 10) ** 2 + (0.5 if config.side == "left" else 0.0)


def descend(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    config = DescendConfig.stored(spec.config)
    yield Ready(total_steps=config.steps, threads=1, device="cpu")
    floor = floor_of(config)
    for step in range(1, config.steps + 1):
        loss = floor + math.exp(-step / 5)
        yield StepDone(step=step, total=config.steps, metrics={"loss": loss})
        time.sleep(config.pause)
    with committed(folder / "output") as output:
        (output / "depth.json").write_text(json.dumps({"depth": floor}))
    depth = {"value": floor, "low": floor - 0.1, "high": floor + 0.1, "n": config.steps}
    yield Finished(summary={"depth": depth, "words": "down"})
