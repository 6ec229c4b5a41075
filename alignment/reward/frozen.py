"""Heads on a backbone that stays as it is: what it says of each answer is read once, and fits take seconds."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from alignment.reward.features import FeatureTable
from alignment.reward.model import RewardModel, fresh_head

LEAST = 1e-3  # of the mean deviation: what varies less than this is not blown up


@dataclass(frozen=True, kw_only=True)
class FrozenModel(RewardModel):
    """A reward model that learns by its heads alone, from a table of features.

    They read features less `shift` and by `unit`, so that one learning rate fits every backbone; `unfolded` is the
    same reward of features as they are.
    """

    table: FeatureTable
    shift: Tensor  # (width,)
    unit: Tensor  # (width,)

    @classmethod
    def on(
        cls, table: FeatureTable, heads: int, sequences: Sequence[Sequence[int]]
    ) -> "FrozenModel":
        """Untrained heads on features with mean 0 and deviation 1 over these sequences; uses torch's RNG."""
        features, base = table.of(sequences), table.model
        unit = features.std(0, correction=0)
        return cls(
            trunk=base.trunk,
            head=fresh_head(features.shape[1], heads).to(features.device),
            pooling=base.pooling,
            center=(0.0,) * heads,
            table=table,
            shift=features.mean(0),
            unit=unit.clamp(min=max(LEAST * unit.mean().item(), torch.finfo(unit.dtype).tiny)),
        )

    def raw(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, heads) head outputs, not centred; with a gradient of the heads alone."""
        scores: Tensor = self.head(self.features(sequences))
        return scores

    @torch.no_grad()
    def features(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, width) what the heads read."""
        return (self.table.of(sequences) - self.shift) / self.unit


@torch.no_grad()
def unfolded(model: RewardModel) -> RewardModel:
    """The same reward of features as the backbone gives them, as it is stored; of any other model itself."""
    if not isinstance(model, FrozenModel):
        return model
    head = deepcopy(model.head)
    head.weight.copy_(model.head.weight / model.unit)
    moved = (head.weight @ model.shift).tolist()
    known = {one.name: getattr(model, one.name) for one in fields(RewardModel)}
    center = tuple(own + more for own, more in zip(model.center, moved, strict=True))
    return RewardModel(**known | {"head": head, "center": center})
