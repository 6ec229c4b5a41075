"""A model's linear layers in eight bits: rounded, load_compared with what they were, stored.

Where all of them together lose more than the settings allow, on texts of training prompts, those that lose most
by themselves stay in full precision, one after another, until what is lost is no more than that.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from alignment.kinds.quantise.settings import QuantiseConfig, SchemeName
from alignment.kinds.spec import RunSpec
from alignment.lab.changing import Made, ModelChange, Original, Progress, changing
from alignment.lab.costs import receipt
from alignment.maths.int8 import Int8, worst_error
from alignment.models.forms.int8 import (
    Int8Linear,
    Int8Record,
    Layer,
    LayerChoice,
    as_placed,
    choice_of,
    kept_of,
    layer_tensors,
)
from alignment.models.forms.stored import write_form
from alignment.models.policies import Policy
from alignment.models.texts import Written
from alignment.models.training import scored
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event
from alignment.seam.progress import counting, through
from alignment.seam.words import _

ROUNDED = 0.5 + 1e-3  # of a scale: fp32 rounds the quotient too
FLOAT = 4  # bytes
TRIED = 64  # texts by which layers are told apart


class RoundedLayer(NamedTuple):
    """A layer and how it is kept."""

    layer: Layer
    kept: Int8


def quantise(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind quantise: `policy` with its linear layers in eight bits; writes `folder/output`."""
    config = QuantiseConfig.stored(spec.config)

    def run(original: Original) -> Generator[Event, str | None, Made]:
        yield from ()
        return quantised(original, config)

    return changing(spec, folder, config, ModelChange(run))


def quantised(original: Original, config: QuantiseConfig) -> Made:
    """The model in eight bits; raises ConfigError where no layer is."""
    policy = original.policy
    choice = without(choice_of(policy.model, embeddings=config.embeddings), config.left_out)
    if not choice.layers:
        raise ConfigError(_("No layer is left to be kept in eight bits; leave fewer of them out."))
    parts = parts_of(choice, config.scheme)
    dear = too_dear(original, parts, config.most_lost) if config.most_lost < 1 else []
    parts = {name: part for name, part in parts.items() if name not in dear}
    others = choice.others | {name: choice.layers[name].weight.numel() for name in dear}
    record = Int8Record(layers=dict.fromkeys(parts, config.scheme))
    files = {
        tensor: one
        for name, part in parts.items()
        for tensor, one in layer_tensors(name, part.layer, part.kept)
    }

    def save(folder: Path) -> None:
        write_form(policy.model, record, files, folder)
        policy.tokenizer.save_pretrained(folder)

    worst = max(worst_error(channels_of(part.layer), part.kept) for part in parts.values())
    return Made(
        save,
        sizes_told(parts, others, config.scheme)
        | {"largest_error": worst, "kept_for_perplexity": ", ".join(dear) or None},
        [receipt(_("Largest error of a weight, in its scale"), worst, ROUNDED)],
    )


def without(choice: LayerChoice, left_out: str) -> LayerChoice:
    """The choice without the layers whose names have one of these parts."""
    parts = [part.strip() for part in left_out.split(",") if part.strip()]
    away = {name for name in choice.layers if any(part in name for part in parts)}
    layers = {name: layer for name, layer in choice.layers.items() if name not in away}
    return LayerChoice(
        layers, choice.others | {name: choice.layers[name].weight.numel() for name in away}
    )


def parts_of(choice: LayerChoice, scheme: SchemeName) -> dict[str, RoundedLayer]:
    """Every chosen layer in eight bits, by name."""
    with counting(len(choice.layers), _("layers")):
        rows = through(choice.layers.items(), len(choice.layers))
        return {name: RoundedLayer(layer, kept_of(layer, scheme)) for name, layer in rows}


def channels_of(layer: Layer) -> Tensor:
    """A layer's weight, an output channel or a token a row."""
    weight: Tensor = layer.weight
    return weight if isinstance(layer, nn.Linear | nn.Embedding) else weight.T


def sizes_told(
    parts: Mapping[str, RoundedLayer], others: Mapping[str, int], scheme: SchemeName
) -> dict[str, Any]:
    """What was and what was not kept in eight bits, layer by layer."""
    sizes = {name: part.layer.weight.numel() for name, part in parts.items()}
    stored = {
        name: sum(one.nbytes for one in part.kept if one is not None)
        for name, part in parts.items()
    }
    whole = sum(sizes.values())
    rows = [
        {"layer": name, "form": "INT8", "weights": sizes[name], "bytes": stored[name]}
        for name in parts
    ]
    rows += [
        {"layer": name, "form": "FP32", "weights": count, "bytes": FLOAT * count}
        for name, count in others.items()
    ]
    return {
        "scheme": scheme,
        "layers_quantised": len(parts),
        "share_quantised": whole / (whole + sum(others.values())),
        "layer_bytes_ratio": sum(stored.values()) / (FLOAT * whole),
        "layers": rows,
    }


def too_dear(original: Original, parts: Mapping[str, RoundedLayer], most: float) -> list[str]:
    """The layers that have to stay in full precision for all others to lose no more than this, the worst first."""
    policy, rows = original.policy, original.texts().rows[:TRIED]
    known = nats_a_token(policy, rows)
    if lost(policy, rows, known, parts) <= most:
        return []
    with counting(len(parts), _("layers")):
        alone = {
            name: lost(policy, rows, known, {name: parts[name]})
            for name in through(parts, len(parts))
        }
    left, dear = dict(parts), []
    for name in sorted(alone, key=alone.__getitem__, reverse=True):
        dear.append(name)
        left.pop(name)
        if not left or lost(policy, rows, known, left) <= most:
            break
    return dear


def nats_a_token(policy: Policy, rows: Sequence[Written]) -> Tensor:
    """Nats that a policy needs for a token of these texts."""
    tokens = sum(len(row.completion) for row in rows)
    return -scored(policy, rows).double().sum() / tokens


def lost(
    policy: Policy, rows: Sequence[Written], known: Tensor, parts: Mapping[str, RoundedLayer]
) -> float:
    """By what share the perplexity of texts grows where these layers compute in eight bits."""
    with computing(policy, parts):
        return (nats_a_token(policy, rows) - known).expm1().item()


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
    placed = {name: (part.layer, as_placed(part.layer, part.kept)) for name, part in parts.items()}
    for name, module in tied:
        of = next((part.kept for part in parts.values() if part.layer is tokens), None)
        if of is not None:
            placed[name] = (module, Int8Linear(of, module.bias, tied=True))
    for name, (_layer, new) in placed.items():
        new.prepare()
        model.set_submodule(name, new)
    try:
        yield
    finally:
        for name, (layer, _new) in placed.items():
            model.set_submodule(name, layer)
