"""Which labels or prompts a run learns from, where it shall not be all: by what a model sees in them at first."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from alignment.kinds.reward.settings import PoolingName
from alignment.kinds.settings.selection import SelectionSettings
from alignment.maths.designs import auctioned, d_optimal, k_centre, random_rows
from alignment.models.devices import ONE, Placement
from alignment.reward.model import RewardModel
from alignment.seam.events import Event, PhaseStarted
from alignment.seam.records import DemonstrationRecord, LabelRecord, PromptRecord, texts_of
from alignment.seam.words import _

Label = TypeVar("Label", bound=LabelRecord | DemonstrationRecord)
Row = TypeVar("Row")


def choosing(
    folder: Path,
    config: SelectionSettings,
    labels: Sequence[Label],
    seed: int,
    pooling: PoolingName = "mean",
) -> Generator[Event, str | None, list[Label]]:
    """What `chosen_labels` gives, as a phase of a run where there is something to choose."""
    if config.most_of(len(labels)) < len(labels):
        yield PhaseStarted(name=_("choosing labels"))
    return chosen_labels(folder, config, labels, seed, pooling)


def chosen_labels(
    folder: Path,
    config: SelectionSettings,
    labels: Sequence[Label],
    seed: int,
    pooling: PoolingName = "mean",
) -> list[Label]:
    """As many labels as the settings choose, in their own order; all where there are no more.

    The model of the folder is what learns from them.
    """

    def points() -> Tensor:
        return contrasts(RewardModel.fresh(folder, pooling=pooling, role="model"), labels)

    return _chosen(config, labels, seed, points)


def chosen_prompts(
    folder: Path,
    config: SelectionSettings,
    prompts: Sequence[PromptRecord],
    seed: int,
    placement: Placement = ONE,
) -> list[PromptRecord]:
    """The same of prompts, by what the policy of the folder sees where their answers begin."""

    def points() -> Tensor:
        model = RewardModel.fresh(folder, role="policy", placement=placement)
        return model.features([model.read(prompt.messages, "")[0] for prompt in prompts]).double()

    return _chosen(config, prompts, seed, points)


def _chosen(
    config: SelectionSettings, rows: Sequence[Row], seed: int, points: Callable[[], Tensor]
) -> list[Row]:
    """So many rows by the settings' rule; points are asked for where it goes by them."""
    count, size = config.most_of(len(rows)), len(rows)
    if count == size:
        return list(rows)
    generator = torch.Generator().manual_seed(seed)
    match config.selection:
        case "k_centre":
            first = int(torch.randint(size, (1,), generator=generator))
            places = k_centre(points(), count, first)
        case "d_optimal":
            places = d_optimal(points(), count)
        case "agents":
            places = auctioned(points(), count, generator)
        case _:
            places = random_rows(size, count, generator)
    return [rows[place] for place in sorted(places)]


def passed_over(known: Sequence[Row], chosen: Sequence[Row]) -> dict[str, int]:
    """How many labels were not chosen, as a summary says it, where some were not."""
    left = len(known) - len(chosen)
    return {"labels_passed_over": left} if left else {}


@torch.no_grad()
def contrasts(model: RewardModel, labels: Sequence[LabelRecord | DemonstrationRecord]) -> Tensor:
    """(labels, width) what a linear head is told by each: its first text's features less the others' mean.

    The likelihood of a preference depends on the head's weights by their product with this alone; a text that
    is judged by itself is told by its own features.
    """
    texts = [
        [model.read(label.prompt.messages, text)[0] for text in texts_of(label)] for label in labels
    ]
    features = model.features([ids for row in texts for ids in row]).double()
    parts = torch.split(features, [len(row) for row in texts])
    return torch.stack([part[0] - part[1:].mean(0) if len(part) > 1 else part[0] for part in parts])
