"""A model's linear layers in eight bits: rounded, fitted to texts, stored; see `lab/rounding`."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from alignment.kinds.quantise.settings import QuantiseConfig, SchemeName
from alignment.kinds.spec import RunSpec
from alignment.lab.changing import Made, ModelChange, Original, Progress, changing
from alignment.lab.costs import receipt
from alignment.lab.rounding import TRIED, RoundedLayer, channels_of, fitted_layers, rounded_layers
from alignment.maths.int8 import worst_error
from alignment.models.forms.int8 import (
    Int8Layer,
    Int8Record,
    LayerChoice,
    choice_of,
    int8_tensors,
)
from alignment.models.forms.stored import write_form
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event
from alignment.seam.words import _

ROUNDED = 0.5 + 1e-3  # of a scale: fp32 rounds the quotient too
FLOAT = 4  # bytes


def quantise(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind quantise: `policy` with its linear layers in eight bits; writes `folder/output`."""
    config = QuantiseConfig.stored(spec.config)

    def run(original: Original) -> Generator[Event, str | None, Made]:
        return (yield from quantised(original, config))

    return changing(spec, folder, config, ModelChange(run))


def quantised(original: Original, config: QuantiseConfig) -> Generator[Event, None, Made]:
    """The model in eight bits; raises ConfigError where no layer is."""
    policy = original.policy
    choice = without_named(choice_of(policy.model, embeddings=config.embeddings), config.left_out)
    if not choice.layers:
        raise ConfigError(_("No layer is left to be kept in eight bits; leave fewer of them out."))
    rows = (yield from original.texts()).rows[:TRIED]
    found = fitted_layers(policy, rows, rounded_layers(choice, config.scheme), config.most_lost)
    parts, dear = found
    others = choice.others | {name: choice.layers[name].weight.numel() for name in dear}
    record = Int8Record(
        layers={
            name: Int8Layer(scheme=config.scheme, **part.reading.model_dump())
            for name, part in parts.items()
        }
    )
    files = {
        tensor: one
        for name, part in parts.items()
        for tensor, one in int8_tensors(name, part.layer, part.kept)
    }

    def save(folder: Path) -> None:
        write_form(policy.model, record, files, folder)
        policy.tokenizer.save_pretrained(folder)

    worst = max(worst_error(channels_of(part.layer), part.kept) for part in parts.values())
    facts = {"largest_error": worst, "kept_for_perplexity": ", ".join(dear) or None}
    return Made(
        save,
        int8_sizes(parts, others, config.scheme) | facts,
        [receipt(_("Largest error of a weight, in its scale"), worst, ROUNDED)],
    )


def without_named(choice: LayerChoice, left_out: str) -> LayerChoice:
    """The choice without the layers whose names have one of these parts."""
    parts = [part.strip() for part in left_out.split(",") if part.strip()]
    away = {name for name in choice.layers if any(part in name for part in parts)}
    layers = {name: layer for name, layer in choice.layers.items() if name not in away}
    return LayerChoice(
        layers, choice.others | {name: choice.layers[name].weight.numel() for name in away}
    )


def int8_sizes(
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
