"""A model's linear layers with weights set to zero, layer by layer, each by the inputs that it reads."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune as masks
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.kinds.prune.settings import PruneConfig
from alignment.kinds.spec import RunSpec
from alignment.lab.calibration import watching
from alignment.lab.changing import Made, ModelChange, Original, Progress, changing
from alignment.lab.costs import receipt
from alignment.lab.rounding import channels_of
from alignment.maths.sparsity import (
    FOUR,
    scores_of,
    smallest_of_all,
    smallest_of_rows,
    two_of_four,
)
from alignment.models.policies import output_layer
from alignment.models.training import scored
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event
from alignment.seam.progress import counting, split, through
from alignment.seam.words import _

COMPARED = 8  # texts on which outputs are compared
Linear = nn.Linear | Conv1D


class PrunedLayer(NamedTuple):
    """A layer's weights that go (out, in), and how far its outputs are off then, relative."""

    layer: Linear
    gone: Tensor
    error: float
    error_by_magnitude: float


def prune(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind prune: `policy` with weights of its linear layers set to zero; writes `folder/output`."""
    config = PruneConfig.stored(spec.config)

    def run(original: Original) -> Generator[Event, str | None, Made]:
        return (yield from pruned(original, config))

    return changing(spec, folder, config, ModelChange(run))


def pruned(original: Original, config: PruneConfig) -> Generator[Event, None, Made]:
    """The model with its weights set to zero; raises ConfigError where a pattern fits no layer."""
    policy, rows = original.policy, (yield from original.texts()).rows
    layers = prunable(policy.model, config)
    norms = input_norms(layers, lambda: scored(policy, rows))
    with counting(len(layers), _("layers")):
        first, second = split(1, 1)
        with first:
            by_magnitude = gone = pruned_weights(layers, config, None)
        with second:
            if config.method == "wanda":
                gone = pruned_weights(layers, config, norms)
    errors = [
        output_errors(layers, one, lambda: scored(policy, rows[:COMPARED]))
        for one in (gone, by_magnitude)
    ]
    found = {
        name: PrunedLayer(layer, gone[name], *(row.get(name, 0.0) for row in errors))
        for name, layer in layers.items()
    }
    for one in found.values():
        take_out(one.layer, one.gone)
    return Made(policy.save, pruning_told(found, config), [_exactly(found, config)])


def prunable(model: PreTrainedModel, config: PruneConfig) -> dict[str, Linear]:
    """The linear layers of a model but for the one that gives its logits, by name; raises ConfigError."""
    head = output_layer(model)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Linear) and module is not head
    }
    if config.pattern == "two_of_four":
        for name, layer in found.items():
            if channels_of(layer).shape[1] % FOUR:
                raise ConfigError(
                    _(
                        "“{name}” reads {count} channels, no multiple of four; choose others."
                    ).format(name=name, count=channels_of(layer).shape[1])
                )
    return found


def input_norms(layers: Mapping[str, Linear], read: Any) -> dict[str, Tensor]:  # noqa: ANN401 - a call
    """The norm (in,) of each channel that a layer reads, over all tokens."""
    squares: dict[str, Tensor] = {}

    def see(name: str, states: Tensor) -> None:
        found = states.float().square().sum(0)
        squares[name] = squares[name] + found if name in squares else found

    with watching(layers, see):
        read()
    return {name: one.sqrt() for name, one in squares.items()}


def pruned_weights(
    layers: Mapping[str, Linear], config: PruneConfig, norms: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """The weights that go (out, in), of each layer."""
    return {
        name: _gone(
            scores_of(channels_of(layer), None if norms is None else norms.get(name)), config
        )
        for name, layer in through(layers.items(), len(layers))
    }


def _gone(scores: Tensor, config: PruneConfig) -> Tensor:
    if config.pattern == "two_of_four":
        return two_of_four(scores)
    smallest = smallest_of_rows if config.pattern == "rows" else smallest_of_all
    return smallest(scores, config.sparsity)


def output_errors(
    layers: Mapping[str, Linear],
    gone: Mapping[str, Tensor],
    read: Any,  # noqa: ANN401 - a call
) -> dict[str, float]:
    """How far the outputs of each layer are off without these weights, relative to what they are."""
    lost: dict[str, float] = {}
    whole: dict[str, float] = {}

    def see(name: str, states: Tensor) -> None:
        weight = channels_of(layers[name])
        off = F.linear(states, weight * gone[name]).square().sum().item()
        lost[name] = lost.get(name, 0.0) + off
        whole[name] = whole.get(name, 0.0) + F.linear(states, weight).square().sum().item()

    with watching(layers, see):
        read()
    return {name: (lost[name] / max(whole[name], 1e-30)) ** 0.5 for name in lost}


def take_out(layer: Linear, gone: Tensor) -> None:
    """Set weights (out, in) to zero for good."""
    kept = ~(gone.T if isinstance(layer, Conv1D) else gone)
    utilities: Any = masks  # which torch gives no types
    utilities.custom_from_mask(layer, "weight", kept)
    utilities.remove(layer, "weight")


def pruning_told(found: Mapping[str, PrunedLayer], config: PruneConfig) -> dict[str, Any]:
    """What has become of each layer."""
    rows: list[dict[str, Any]] = [
        {
            "layer": name,
            "weights": one.gone.numel(),
            "zeros": int(one.gone.sum()),
            "output_error": one.error,
        }
        for name, one in found.items()
    ]
    zeros = sum(row["zeros"] for row in rows)
    return {
        "method": config.method,
        "pattern": config.pattern,
        "weights_pruned": zeros,
        "share_pruned": zeros / sum(row["weights"] for row in rows),
        "output_error": sum(one.error for one in found.values()) / len(found),
        "error_by_magnitude": sum(one.error_by_magnitude for one in found.values()) / len(found),
        "layers": rows,
    }


def _exactly(found: Mapping[str, PrunedLayer], config: PruneConfig) -> dict[str, Any]:
    """A receipt: in how many groups fewer weights are zero than was asked for."""
    wrong = sum(_wrong_groups(one, config) for one in found.values())
    return receipt(_("Groups with fewer zeros than asked"), wrong, 0)


def _wrong_groups(one: PrunedLayer, config: PruneConfig) -> int:
    weight = channels_of(one.layer)
    size = {"two_of_four": FOUR, "rows": weight.shape[1], "layer": weight.numel()}[config.pattern]
    zeros = (weight == 0).reshape(-1, size).sum(1)
    return int((zeros < round(config.share_pruned * size)).sum())
