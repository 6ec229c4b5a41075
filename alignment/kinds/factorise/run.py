"""A model's hidden layers as sub-layers of low rank: each fitted by itself, shared out by a budget, stored.

A step is a layer. Then the same budget, and others, are tried by other ways too: the start that the layers were
fitted from, the SVD of the weights alone, and the same rank share for all layers.
"""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignment.kinds.factorise.settings import FactoriseConfig
from alignment.kinds.spec import RunSpec
from alignment.lab.changing import EVERY, Made, ModelChange, Original, Progress, changing
from alignment.lab.costs import receipt
from alignment.lab.factoring import FitOptions, FittedLayer, SubLayers, fit_layer
from alignment.lab.layers import Linear, hidden_layers, seen_by, weight_of
from alignment.lab.sizes import BUDGETS, LayerTimes, SizeTrial, priced_record, sizes_tried, times_of
from alignment.maths.factors import Factors, blocks_of
from alignment.models import checkpoints
from alignment.models.forms.factors import (
    CENTER,
    LEFT,
    MEAN,
    RIGHT,
    FactorRecord,
    LayerBlocks,
    factor_tensors,
    layers_of,
    plain_names,
    ranks_bought,
    sides_of,
)
from alignment.models.forms.stored import stored_in, write_form
from alignment.models.loading import check_files, naming, outline_of, weight_files
from alignment.models.stepping import Loop, steps
from alignment.models.texts import Written
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event, PhaseStarted
from alignment.seam.words import _

BETTER = ("squares", "adam")  # ways beyond the start
IN_FILE = "file"  # the way of sub-layers that were fitted before
IDENTITY = 1e-5  # of the whitened norm


def factorise(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind factorise: `policy` with its hidden layers as sub-layers; writes `folder/output`."""
    config = FactoriseConfig.stored(spec.config)
    source = folder / spec.inputs["policy"]
    with naming(source, "policy"):
        check_files(source, "policy")
        outline = outline_of(source, "policy")
        kept = None if config.left_out else fits_in_file(source, outline, config.share)
    count = 0 if kept else len(chosen_layers(outline, config.left_out))

    def run(original: Original) -> Generator[Event, str | None, Made | None]:
        layers = chosen_layers(original.policy.model, config.left_out)
        if kept:
            return (
                yield from made_of(LayersToFit(spec, folder, config, original, layers, ()), kept)
            )
        rows = (yield from original.texts()).rows
        fitting = LayersToFit(spec, folder, config, original, layers, rows)
        if (fits := (yield from fit_layers(fitting))) is None:
            return None
        return (yield from made_of(fitting, fits))

    yield from changing(spec, folder, config, ModelChange(run, count))


def fits_in_file(
    folder: Path, outline: PreTrainedModel, share: float
) -> dict[str, FittedLayer] | None:
    """The sub-layers that a factorised model's file keeps, where they are enough for this share; raises DataError."""
    form = stored_in(folder, weight_files(folder))
    if form is None or not isinstance(form.record, FactorRecord):
        return None
    form.check(outline)
    sides = {name: sides_of(layer) for name, layer in layers_of(form.record, outline).items()}
    ranks = {name: list(blocks.ranks) for name, blocks in form.record.layers.items()}
    kept = sum(sum(ranks[name]) * sum(pair) for name, pair in sides.items())
    every = all(sum(ranks[name]) == sum(blocks_of(*pair, 1)) for name, pair in sides.items())
    if not every and kept < share * sum(outputs * inputs for outputs, inputs in sides.values()):
        return None
    tensors = form.tensors()
    fits = {}
    for name, blocks in form.record.layers.items():
        factors = Factors(tensors[f"{name}.{LEFT}"], tensors[f"{name}.{RIGHT}"])
        own = SubLayers(factors, tensors.get(f"{name}.{MEAN}"), tensors.get(f"{name}.{CENTER}"))
        fits[name] = FittedLayer(own, own, ranks[name], list(blocks.gains), {}, 0.0, IN_FILE, 0.0)
    return fits


def chosen_layers(model: PreTrainedModel, left_out: str) -> dict[str, Linear]:
    """The hidden layers that are factorised; raises ConfigError where none is left."""
    parts = [part.strip() for part in left_out.split(",") if part.strip()]
    found = {
        name: layer
        for name, layer in hidden_layers(model).items()
        if not any(part in name for part in parts)
    }
    if not found:
        raise ConfigError(_("No layer is left to be factorised; leave fewer of them out."))
    return found


@dataclass(frozen=True)
class LayersToFit:
    """Layers to be fitted, of which model, and where."""

    spec: RunSpec
    folder: Path
    config: FactoriseConfig
    original: Original
    layers: Mapping[str, Linear]
    rows: Sequence[Written]


def fit_layers(one: LayersToFit) -> Generator[Event, str | None, dict[str, FittedLayer] | None]:
    """Each layer fitted by itself, a step each; None where it was saved to go on later."""
    config, spec = one.config, one.spec
    options = FitOptions(
        config.sublayers, config.damping, config.steps, config.learning_rate, spec.seed
    )
    fits, done = fits_restored(one)
    rest = {name: layer for name, layer in one.layers.items() if name not in fits}
    seen = seen_by(one.original.policy, one.rows, rest) if rest else iter(())

    def take(_step: int) -> Mapping[str, float]:
        started = time.perf_counter()
        if (found := next(seen, None)) is None:  # no text came to the layers that are left
            return {}
        name, tokens = found
        layer = one.layers[name]
        bias = None if layer.bias is None else layer.bias.detach()
        fit = fit_layer(name, weight_of(layer), bias, tokens, options)
        fits[name] = fit
        return {
            "error/layer": fit.left_at(config.share),
            "seconds/step": time.perf_counter() - started,
        }

    def save(step: int) -> Event:
        tensors, facts = fits_kept(fits)
        return checkpoints.save(one.folder, step, {}, tensors, {"fits": facts})

    count = len(one.layers)
    loop = Loop(count + one.original.after, take, save, EVERY, last=count)
    if (yield from steps(loop, done)) == "save":
        return None
    return {name: fits[name] for name in one.layers if name in fits}


def fits_restored(one: LayersToFit) -> tuple[dict[str, FittedLayer], int]:
    """The layers that a checkpoint has, and how many steps were done."""
    if not one.spec.resume_from:
        return {}, 0
    tensors, facts = checkpoints.load(one.folder / one.spec.resume_from)
    device = one.original.policy.device
    fits = {
        name: FittedLayer(
            sub_layers_of(checkpoints.below(f"{name}/start", tensors), device),
            sub_layers_of(checkpoints.below(f"{name}/kept", tensors), device),
            **row,
        )
        for name, row in facts["fits"].items()
    }
    return fits, int(facts["step"])


def fits_kept(fits: Mapping[str, FittedLayer]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What a checkpoint keeps of fitted layers."""
    tensors: dict[str, Tensor] = {}
    for name, fit in fits.items():
        for side, layer in (("start", fit.start), ("kept", fit.kept)):
            own = factor_tensors(side, *layer)
            tensors |= {f"{name}/{key.replace('.', '/', 1)}": one for key, one in own.items()}
    rows = {
        name: {key: value for key, value in fit._asdict().items() if key not in ("start", "kept")}
        for name, fit in fits.items()
    }
    return tensors, rows


def sub_layers_of(tensors: Mapping[str, Tensor], device: torch.device) -> SubLayers:
    """A layer from what `fits_kept` keeps of it, laid out in memory as any other tensor is: sums depend on that."""
    own = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
    return SubLayers(Factors(own["left"], own["right"]), own.get("mean"), own.get("center"))


def made_of(one: LayersToFit, fits: Mapping[str, FittedLayer]) -> Generator[Event, None, Made]:
    """The model by its budget, what is told of it, and how it is written; raises ConfigError where no layer was seen."""
    config, layers, policy = one.config, one.layers, one.original.policy
    if not fits:
        raise ConfigError(
            _("No text came to these layers; leave others out, or give more prompts.")
        )
    yield PhaseStarted(name=_("timing layers"))
    times = times_of(layers, fits)
    record = priced_record(layers, fits, times, config.share, config.unit)
    shapes = {name: sides_of(layers[name]) for name in fits}
    ranks = ranks_bought(record, shapes)
    if config.in_file == "used":
        record = only_used(record, ranks)
    files: dict[str, Tensor] = {}
    for name, blocks in record.layers.items():
        kept = fits[name].kept
        files |= factor_tensors(name, kept.factors.first(sum(blocks.ranks)), kept.mean, kept.center)
    replaced = [one for name in fits for one in plain_names(name, layers[name])]

    def save(folder: Path) -> None:
        write_form(policy.model, record, files, folder, replaced)
        policy.tokenizer.save_pretrained(folder)

    facts = layers_told(layers, fits, ranks, times)
    if one.rows:
        yield PhaseStarted(name=_("trying sizes"))
        trial = SizeTrial(policy, one.rows, layers, fits, times)
        facts["sizes"] = sizes_tried(trial, sorted({config.share, *BUDGETS}, reverse=True))
    worst = max(fit.identity for fit in fits.values())
    checks = [receipt(_("Error of a rank against its singular values, relative"), worst, IDENTITY)]
    return Made(save, facts, checks)


def only_used(record: FactorRecord, ranks: Mapping[str, int]) -> FactorRecord:
    """The record without the blocks that its budget does not buy."""
    return record.model_copy(
        update={
            "layers": {name: first_blocks(row, ranks[name]) for name, row in record.layers.items()}
        }
    )


def first_blocks(row: LayerBlocks, rank: int) -> LayerBlocks:
    """The first blocks of a layer, up to a rank that ends with one."""
    count = next(n for n in range(len(row.ranks) + 1) if sum(row.ranks[:n]) >= rank)
    return LayerBlocks(
        ranks=row.ranks[:count], gains=row.gains[:count], milliseconds=row.milliseconds[:count]
    )


def layers_told(
    layers: Mapping[str, Linear],
    fits: Mapping[str, FittedLayer],
    ranks: Mapping[str, int],
    times: Mapping[str, LayerTimes],
) -> dict[str, Any]:
    """Layer by layer, what is left of it."""
    rows: list[dict[str, Any]] = []
    taken = 0.0
    for name, fit in fits.items():
        outputs, inputs = weight_of(layers[name]).shape
        kept = ranks[name] * (outputs + inputs)
        count = next(n for n in range(len(fit.ranks) + 1) if sum(fit.ranks[:n]) >= ranks[name])
        taken += sum(times[name].blocks[:count])
        rows.append(
            {
                "layer": name,
                "rank": ranks[name],
                "of": min(outputs, inputs),
                "sublayers": count,
                "weights": outputs * inputs,
                "kept": kept,
                "way": fit.way,
            }
        )
    whole = sum(row["weights"] for row in rows)
    told = {
        "layers_factorised": len(rows),
        "parameters_ratio": sum(row["kept"] for row in rows) / whole,
        "milliseconds_ratio": taken / sum(times[name].whole for name in fits),
        "layers": rows,
    }
    if all(fit.errors for fit in fits.values()):
        told["fitted_better"] = sum(fit.way in BETTER for fit in fits.values()) / len(fits)
    return told
