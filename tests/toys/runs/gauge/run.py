"""Gauge answers: `output/scores.jsonl` and, if wished, `output/features.safetensors`."""

import json
import math
from collections.abc import Generator
from pathlib import Path

import torch
from safetensors.torch import save_file

from alignment.kinds.spec import RunSpec
from alignment.maths.estimators import estimate
from alignment.reward import RewardModel
from alignment.seam.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.seam.folders import committed
from alignment.seam.progress import in_batches
from alignment.seam.records import StoredRecord, read_jsonl
from tests.toys.runs.gauge.settings import GaugeConfig


@torch.no_grad()
def gauge(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    config = GaugeConfig.stored(spec.config)
    model = RewardModel.load(folder / spec.inputs["reward"])
    rows = list(read_jsonl(folder / spec.inputs["completions"], StoredRecord))
    total = math.ceil(len(rows) / config.batch)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device="cpu")
    yield PhaseStarted(name="scoring")
    found, features = [], []
    for step, part in enumerate(in_batches(rows, config.batch, "completions"), start=1):
        read = [model.read(row.prompt.messages, row.completion)[0] for row in part]
        found.append(model.score_ids(read))
        features.append(model.features(read))
        metrics = {"score/mean": found[-1].mean().item()}
        yield StepDone(step=step, total=total, metrics=metrics)
    scores = torch.cat(found)
    with committed(folder / "output") as output:
        lines = "".join(f"{json.dumps({'score': one})}\n" for one in scores.tolist())
        (output / "scores.jsonl").write_text(lines, encoding="utf-8")
        if config.keep == "features":
            save_file({"features": torch.cat(features)}, output / "features.safetensors")
    summary = {
        "score": estimate(scores.tolist()).model_dump(),
        "answers": len(rows),
        "kept": config.keep,
    }
    yield Finished(summary=summary)
