"""Layers in eight bits, and how each reads its inputs: what texts of training prompts tell.

They show which of a layer's channels are far larger than others, and whether its inputs need two parts (see
`models/forms/int8`). Where all layers together lose more on them than is allowed, more of them read in two parts, in the
end all; where that is not enough, those whose outputs are off most stay in full precision: one, two, four of them and so on.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alignment.kinds.quantise.settings import SchemeName
from alignment.lab.calibration import watching
from alignment.maths.int8 import SMALLEST, Int8
from alignment.models.forms.int8 import (
    STEPS,
    InputReading,
    Int8Linear,
    Layer,
    LayerChoice,
    as_placed,
    int8_of,
)
from alignment.models.policies import Policy, output_layer
from alignment.models.texts import Written, rollouts_of
from alignment.models.training import scored
from alignment.sampling.scoring import batches, completion_logits, token_kl
from alignment.seam.progress import counting, through
from alignment.seam.words import _

TRIED, COMPARED = 32, 8  # texts by which layers are told apart, and their errors are found
APART = 1 / 16  # share of the channels that are read apart, at most
OUTLYING = 4.0  # times the median's largest magnitude
COARSE_SHARE = (
    0.5  # of the loss that is allowed, where some layers read in one part: they are less steady too
)
MOST_OFF = 0.03  # of a layer's outputs, relative, where its inputs are read in one part


class RoundedLayer(NamedTuple):
    """A layer and how it is kept."""

    layer: Layer
    kept: Int8
    reading: InputReading = InputReading()


def rounded_layers(choice: LayerChoice, scheme: SchemeName) -> dict[str, RoundedLayer]:
    """Every chosen layer in eight bits, by name."""
    with counting(len(choice.layers), _("layers")):
        rows = through(choice.layers.items(), len(choice.layers))
        return {name: RoundedLayer(layer, int8_of(layer, scheme)) for name, layer in rows}


def channels_of(layer: Layer) -> Tensor:
    """A layer's weight, an output channel or a token a row."""
    weight: Tensor = layer.weight
    return weight if isinstance(layer, nn.Linear | nn.Embedding) else weight.T


class FittedLayers(NamedTuple):
    """Layers in eight bits, and the names of those that have to stay in full precision, the worst first."""

    layers: dict[str, RoundedLayer]
    dear: list[str]


def fitted_layers(
    policy: Policy, rows: Sequence[Written], layers: Mapping[str, RoundedLayer], most: float
) -> FittedLayers:
    """The layers, each with how it reads, as many as together lose no more than this share of perplexity."""
    found, by_inputs, by_weights = with_readings(policy, rows, layers)
    if most >= 1:
        return FittedLayers(found, [])
    some = rows[:COMPARED]
    known = next_logps(policy, some)
    coarse = sorted(
        (name for name in found if found[name].reading.parts == 1),
        key=lambda name: by_inputs.get(name, 0.0),
    )
    while coarse:
        trial = in_two_parts(found, coarse)
        if lost(policy, some, known, trial) <= COARSE_SHARE * most:
            return FittedLayers(trial, [])
        coarse = coarse[: len(coarse) // 2]
    finer = in_two_parts(found, ())
    worst = sorted(by_weights, key=by_weights.__getitem__, reverse=True)
    count = 0
    while (
        count < len(finer)
        and lost(policy, some, known, without_layers(finer, worst[:count])) > most
    ):
        count = min(max(1, 2 * count), len(finer) - 1) if count < len(finer) - 1 else len(finer)
    return FittedLayers(without_layers(finer, worst[:count]), worst[:count])


def in_two_parts(layers: Mapping[str, RoundedLayer], but: Sequence[str]) -> dict[str, RoundedLayer]:
    """All layers reading in two parts, but for those of these names."""
    finer = {
        name: one._replace(reading=one.reading.model_copy(update={"parts": 2}))
        for name, one in layers.items()
        if name not in but
    }
    return dict(layers) | finer


def without_layers(
    layers: Mapping[str, RoundedLayer], names: Sequence[str]
) -> dict[str, RoundedLayer]:
    """The layers but for those of these names."""
    return {name: one for name, one in layers.items() if name not in names}


class Readings(NamedTuple):
    """Layers with how they read, and how far the outputs of each are off, relative: by one part, by its weights."""

    layers: dict[str, RoundedLayer]
    by_inputs: dict[str, float]
    by_weights: dict[str, float]


def with_readings(
    policy: Policy, rows: Sequence[Written], layers: Mapping[str, RoundedLayer]
) -> Readings:
    """The layers, each with the channels that it reads apart, and in as many parts as its outputs need."""
    largest: dict[str, Tensor] = {}
    by_inputs: dict[str, float] = {}
    by_weights: dict[str, float] = {}

    def see(name: str, states: Tensor) -> None:
        found = states.abs().amax(0)
        largest[name] = torch.maximum(largest[name], found) if name in largest else found

    def compare(name: str, states: Tensor) -> None:
        weight, kept = channels_of(layers[name].layer), layers[name].kept
        whole = F.linear(states, weight)
        for errors, off in (
            (by_inputs, F.linear(as_read(states, apart[name]) - states, weight)),
            (by_weights, F.linear(states, kept.weight) - whole),
        ):
            errors[name] = max(errors.get(name, 0.0), (off.norm() / whole.norm()).item())

    inner = {name: _inner(policy, one.layer) for name, one in layers.items()}
    with watching(inner, see):
        scored(policy, rows)
    apart = {name: outlying(sizes) for name, sizes in largest.items()}
    with watching(inner, compare):
        scored(policy, rows[:COMPARED])
    readings = {
        name: InputReading(
            parts=2 if by_inputs.get(name, 1.0) > MOST_OFF else 1, apart=apart.get(name, ())
        )
        for name in layers
    }
    found = {name: one._replace(reading=readings[name]) for name, one in layers.items()}
    return Readings(found, by_inputs, by_weights)


def _inner(policy: Policy, layer: Layer) -> nn.Module:
    """What reads states by a layer's weight: of an embedding, the head that is tied to it."""
    return output_layer(policy.model) if isinstance(layer, nn.Embedding) else layer


def outlying(sizes: Tensor) -> tuple[int, ...]:
    """The channels (in,) whose largest magnitude is far above the usual one, a few at most."""
    count = max(1, round(APART * len(sizes)))
    found = sizes.topk(count)
    far = found.values > OUTLYING * sizes.median()
    return tuple(sorted(found.indices[far].tolist()))


def as_read(states: Tensor, apart: Sequence[int]) -> Tensor:
    """Inputs (n, in) as a layer reads them in one part."""
    channels = torch.tensor(apart, dtype=torch.long)
    others = states.index_fill(1, channels, 0.0)
    sizes = others.abs().amax(1, keepdim=True).clamp(min=SMALLEST)
    found = (others / sizes * STEPS).round() / STEPS * sizes
    return found.index_copy(1, channels, states[:, channels])


@torch.no_grad()
def next_logps(policy: Policy, rows: Sequence[Written]) -> Tensor:
    """(tokens, vocab) what a policy says of the next token, at each of some texts."""
    found = []
    for batch in batches(policy.model, rollouts_of(policy, rows)):
        logps = completion_logits(policy.model, batch).log_softmax(-1)
        places = torch.arange(len(logps), device=logps.device)[:, None], batch.places
        found.append(logps[places][batch.mask])
    return torch.cat(found)


def lost(
    policy: Policy, rows: Sequence[Written], known: Tensor, layers: Mapping[str, RoundedLayer]
) -> float:
    """By what share perplexity grows where these layers compute in eight bits: e^KL - 1, of the next token."""
    with computing(policy, layers):
        other = next_logps(policy, rows)
    return math.expm1(token_kl(known, other).sum(1).mean().item())


@contextmanager
def computing(policy: Policy, parts: Mapping[str, RoundedLayer]) -> Iterator[None]:
    """Inside, these layers compute in eight bits, as they will be served."""
    model: Any = policy.model
    tied = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.weight is model.get_input_embeddings().weight
    ]
    tokens = model.get_input_embeddings()
    placed = {
        name: (part.layer, as_placed(part.layer, part.kept, part.reading))
        for name, part in parts.items()
    }
    for name, module in tied:
        of = next((part for part in parts.values() if part.layer is tokens), None)
        if of is not None:
            placed[name] = (module, Int8Linear(of.kept, module.bias, of.reading, tied=True))
    for name, (_layer, new) in placed.items():
        new.prepare()
        model.set_submodule(name, new)
    try:
        yield
    finally:
        for name, (layer, _new) in placed.items():
            model.set_submodule(name, layer)
