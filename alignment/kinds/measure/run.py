"""A reward model on labelled pairs: how often it agrees with people, and what rules that read nothing reach.

Writes `output/pairs.jsonl`, a row a pair in their order: its prompt's key, its category, and the margin in nats.
"""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import torch

from alignment.kinds.measure.settings import MeasureConfig
from alignment.kinds.spec import RunSpec
from alignment.models.overlong import Reader, fitting_labels
from alignment.models.processors import default_device
from alignment.reward.buckets import accuracy_by
from alignment.reward.calibration import calibration_error
from alignment.reward.examples import examples_of, scored
from alignment.reward.labels import says_something
from alignment.reward.measures import Told, preferences_told, together
from alignment.reward.model import RewardModel
from alignment.reward.rulers import by_category, told_by_rules
from alignment.seam.errors import DataError
from alignment.seam.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.seam.folders import committed
from alignment.seam.progress import in_batches
from alignment.seam.records import MeasuredRecord, PairRecord, read_jsonl, write_jsonl
from alignment.seam.words import _

BATCH = 32  # pairs of a step


@torch.no_grad()
def measure_reward(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Measure `reward` on `pairs`; raises DataError where none of them says anything."""
    config = MeasureConfig.stored(spec.config)
    pairs = [
        pair
        for pair in read_jsonl(folder / spec.inputs["pairs"], PairRecord)
        if says_something(pair)
    ]
    if not pairs:
        raise DataError(_("There is no pair of different answers to measure by."))
    readers = [Reader.of_reward(folder / spec.inputs["reward"])]
    fitting = fitting_labels(pairs, "labels", readers, config.overlong)
    yield from () if fitting.told.all_fit else (fitting.told,)
    model = RewardModel.load(folder / spec.inputs["reward"])
    total = math.ceil(len(fitting.rows) / BATCH)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=str(default_device()))
    yield PhaseStarted(name=_("measuring"))
    found = together((yield from _read(model, fitting.rows, total)))
    with committed(folder / "output") as output:
        write_jsonl(output / "pairs.jsonl", _records(found))
    yield Finished(summary=in_numbers(found) | {"rows": [fitting.told.counts]})


def _read(
    model: RewardModel, pairs: Sequence[PairRecord], total: int
) -> Generator[Event, str | None, list[Told]]:
    """What the model says of each pair; the accuracy is told on the way."""
    parts: list[Told] = []
    for step, batch in enumerate(in_batches(pairs, BATCH, _("labels")), start=1):
        started = time.perf_counter()
        examples = examples_of(model, batch)
        parts.append(preferences_told(scored(model, examples) / model.temperature, examples))
        metrics = {
            "preference/accuracy": parts[-1].right.mean().item(),
            "seconds/step": time.perf_counter() - started,
        }
        yield StepDone(step=step, total=total, metrics=metrics)
    return parts


def in_numbers(found: Told) -> dict[str, object]:
    """How the model and the rules did, over prompts, and in each category where there are some."""
    summary: dict[str, object] = {
        "accuracy": found.accuracy().model_dump(),
        "nll": found.nll().model_dump(),
        "ece": calibration_error(found.margins),
        "pairs": len(found.pairs),
        "accuracy_by": accuracy_by(found, found.pairs),
    }
    if categories := by_category(found):
        summary["by_category"] = categories
    return summary | told_by_rules(found)


def _records(found: Told) -> Iterator[MeasuredRecord]:
    """Each pair with what the model said of it."""
    for pair, margin in zip(found.pairs, found.margins.tolist(), strict=True):
        yield MeasuredRecord(prompt_key=pair.prompt.key, category=pair.category, margin=margin)
