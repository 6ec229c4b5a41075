"""The optimizer of a training, by its settings: AdamW with whole or with low-rank gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from alignment.kinds.settings.gradient import GradientSettings
from alignment.models.distributed import reduce_gradients
from alignment.models.lowrank import LowRankAdamW

Groups = list[Tensor] | list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """Weights that learn at one rate: its peak, and how far their matrices are pulled to zero."""

    weights: Sequence[Tensor]
    peak: float
    decay: float = 0.0
    clipped: bool = True  # with others, to one length of their gradient


def adamw(groups: Groups, config: GradientSettings, **adam: Any) -> torch.optim.AdamW:  # noqa: ANN401 - as AdamW
    """AdamW over these parameters; raises ConfigError where the gradient cannot be of low rank."""
    if config.gradient == "full":
        return torch.optim.AdamW(groups, **adam)
    return LowRankAdamW(
        groups,
        config.gradient_rank,
        feedback=config.error_feedback,
        consistency=config.least_consistency,
        **adam,
    )


def decaying(weights: Sequence[Tensor], decay: float) -> list[dict[str, Any]]:
    """Groups for an optimizer: matrices, which decay, then norms and biases, which do not; without decay one of all."""
    if not decay:
        return [{"params": list(weights)}]
    matrices = [one for one in weights if one.ndim > 1]
    others = [one for one in weights if one.ndim < 2]
    return [
        {"params": matrices, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def grouped(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The groups of all parts that have weights, each with the `peak` of its rate and whether it is `clipped`."""
    return [
        group | {"lr": part.peak, "peak": part.peak, "clipped": part.clipped}
        for part in parts
        for group in decaying(part.weights, part.decay)
        if group["params"]
    ]


def exchange(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Sum the gradients over processes, in place; what is known of them where they are of low rank."""
    if not isinstance(optimizer, LowRankAdamW):
        reduce_gradients(group["params"] for group in optimizer.param_groups)
        return {}
    optimizer.exchange()
    return {**optimizer.told.metrics(), "optimizer/bytes": float(optimizer.bytes)}
