"""Which labels a reward model learns from, where it shall not be all: by what its head reads of them at first."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from alignment.kinds.reward.settings import RewardConfig
from alignment.maths.designs import d_optimal, k_centre, random_rows
from alignment.reward.examples import examples_of
from alignment.reward.model import RewardModel
from alignment.seam.records import LabelRecord


def chosen_labels(
    backbone: Path, config: RewardConfig, labels: Sequence[LabelRecord], seed: int
) -> list[LabelRecord]:
    """As many labels as the settings choose, in their own order; all where there are no more."""
    if config.selection == "all" or config.selected >= len(labels):
        return list(labels)
    generator = torch.Generator().manual_seed(seed)
    if config.selection == "random":
        rows = random_rows(len(labels), config.selected, generator)
    else:
        model = RewardModel.fresh(backbone, pooling=config.pooling, role="backbone")
        points = contrasts(model, labels)
        if config.selection == "k_centre":
            first = int(torch.randint(len(labels), (1,), generator=generator))
            rows = k_centre(points, config.selected, first)
        else:
            rows = d_optimal(points, config.selected)
    return [labels[row] for row in sorted(rows)]


@torch.no_grad()
def contrasts(model: RewardModel, labels: Sequence[LabelRecord]) -> Tensor:
    """(labels, width) what a linear head is told by each: its first text's features less the others' mean.

    The likelihood of a preference depends on the head's weights by their product with this alone; a text that
    is judged by itself is told by its own features.
    """
    examples = examples_of(model, labels)
    features = model.features([ids for example in examples for ids in example.texts]).double()
    parts = torch.split(features, [len(example.texts) for example in examples])
    return torch.stack([part[0] - part[1:].mean(0) if len(part) > 1 else part[0] for part in parts])
