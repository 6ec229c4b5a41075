"""A model for classes, or for a number, as a reward model: which output, how it is read, its zero and its unit."""

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from alignment.kinds.adopt.settings import AdoptConfig
from alignment.kinds.spec import RunSpec
from alignment.models.loading import naming, outputs_of
from alignment.models.overlong import Reader, closing_tokens, fitting_labels
from alignment.models.processors import default_device
from alignment.reward.buckets import accuracy_by
from alignment.reward.calibration import temperature_of
from alignment.reward.centring import standardised
from alignment.reward.examples import Example, examples_of, scored
from alignment.reward.labels import says_something
from alignment.reward.measures import preferences_told
from alignment.reward.model import RewardModel
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.seam.folders import committed
from alignment.seam.modelfiles import printable, read_object
from alignment.seam.progress import in_batches
from alignment.seam.records import PairRecord, read_jsonl
from alignment.seam.words import _

BATCH = 32  # pairs of a step


@torch.no_grad()
def adopt(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Make a reward model of `rater`, by `pairs` where they are given; writes `folder/output`."""
    config = AdoptConfig.stored(spec.config)
    place = folder / spec.inputs["rater"]
    with naming(place, "classifier"):
        output, name = chosen_output(place, config.class_name)
    pairs, told = [], []
    if "pairs" in spec.inputs:
        rows = read_jsonl(folder / spec.inputs["pairs"], PairRecord)
        given = [row for row in rows if says_something(row)]
        fitting = fitting_labels(given, "labels", [_reader(place, config)], config.overlong)
        pairs, told = fitting.rows, [fitting.told]
    yield from (one for one in told if not one.all_fit)
    model = RewardModel.of_classes(place, output, config.reads, "classifier")
    total = max(1, math.ceil(len(pairs) / BATCH))
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=str(default_device()))
    yield PhaseStarted(name=_("measuring"))
    summary: dict[str, object] = {"class_name": name, "rows": [one.counts for one in told]}
    if pairs:
        model, found = yield from by_pairs(model, pairs, total)
        summary |= found
    with committed(folder / "output") as aside:
        model.save(aside)
    size = sum(weight.numel() for weight in model.trunk.model.parameters())
    yield Finished(
        summary=summary | {"parameters": size, "center": model.center[0], "scale": model.scale}
    )


def _reader(folder: Path, config: AdoptConfig) -> Reader:
    """Who reads the labels: a masked model between its marks, any other with what it reads behind an answer."""
    found = Reader.of_reward(folder)
    return (
        found if found.marks else replace(found, end=closing_tokens(found.tokenizer, config.reads))
    )


def chosen_output(folder: Path, wished: str) -> tuple[int, str]:
    """The number and the name of the output that a wish means; raises ConfigError where there is none."""
    count = outputs_of(folder)
    labels = read_object(folder / "config.json").get("id2label")
    known = labels if isinstance(labels, dict) else {}
    names = [str(known.get(str(place), place)) for place in range(count)]
    if not wished:
        return count - 1, names[-1]
    if wished in names:
        return names.index(wished), wished
    if wished.isascii() and wished.isdigit() and int(wished) < count:
        return int(wished), names[int(wished)]
    raise ConfigError(
        _("There is no class “{name}”; the model has {names}.").format(
            name=wished, names=", ".join(map(printable, names))
        )
    )


def by_pairs(
    model: RewardModel, pairs: Sequence[PairRecord], total: int
) -> Generator[Event, str | None, tuple[RewardModel, dict[str, object]]]:
    """The model with mean 0 and deviation 1 on these answers, and how it tells the pairs."""
    scores, examples = [], list[Example]()
    for step, batch in enumerate(in_batches(pairs, BATCH, _("labels")), start=1):
        started = time.perf_counter()
        some = examples_of(model, batch)
        scores.append(scored(model, some))
        examples += some
        right = preferences_told(scores[-1], some).right.mean().item()
        metrics = {"preference/accuracy": right, "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)
    raw = torch.cat(scores)
    found = preferences_told(raw, examples)
    temperature = temperature_of(found.margins)
    summary = {
        "accuracy": found.accuracy().model_dump(),
        "nll": found.nll().model_dump(),
        "temperature": temperature,
        "pairs": len(found.pairs),
        "accuracy_by": accuracy_by(found, found.pairs),
    }
    return replace(standardised(model, raw), temperature=temperature), summary
