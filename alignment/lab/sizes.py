"""What a model's sub-layers cost and are worth by budget, beside other ways to choose and to find them."""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.lab.costs import LENGTH, ROWS
from alignment.lab.factoring import FittedLayer, SubLayers
from alignment.lab.layers import APART, Linear, weight_of
from alignment.maths.factors import Factors, falling, plain_factors
from alignment.models.forms.factors import (
    FLOAT,
    Budget,
    FactorLinear,
    FactorRecord,
    LayerBlocks,
    Unit,
    bias_at,
    costs_in,
    ranks_bought,
    sides_of,
)
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of
from alignment.sampling.scoring import completion_token_kls, completion_token_logps
from alignment.seam.progress import counting, through
from alignment.seam.words import _

BUDGETS = (0.8, 0.6, 0.4, 0.2)  # that are compared, beside the one that is asked for
TRIED = 32  # texts that they are compared on
TIMES = 7  # forwards of which the median counts
SHORTEST = 1e-6  # milliseconds of a block
WAYS = {
    "fitted": _("Fitted, by worth"),
    "start": _("Start, by worth"),
    "equal": _("Fitted, equal shares"),
    "plain": _("SVD of the weights, equal shares"),
}


class LayerTimes(NamedTuple):
    """Milliseconds of a layer as it was, and of each of its blocks."""

    whole: float
    blocks: list[float]


def times_of(
    layers: Mapping[str, Linear], fits: Mapping[str, FittedLayer]
) -> dict[str, LayerTimes]:
    """How long layers and their blocks take, on 4 times 32 tokens; a block is what one more of them adds."""
    found = {}
    with counting(len(fits), _("layers")):
        for name in through(list(fits), len(fits)):
            weight, fit = weight_of(layers[name]), fits[name]
            states = weight.new_ones(ROWS, LENGTH, weight.shape[1])
            rank = sum(fit.ranks)
            whole = milliseconds(layers[name], states)
            all_ = milliseconds(FactorLinear(fit.kept.factors, None), states)
            one = milliseconds(FactorLinear(fit.kept.factors.first(1), None), states)
            each = max((all_ - one) / max(1, rank - 1), SHORTEST / 10)
            blocks = [each * count for count in fit.ranks]
            found[name] = LayerTimes(whole, [max(one + blocks[0], SHORTEST), *blocks[1:]])
    return found


@torch.no_grad()
def milliseconds(layer: nn.Module, states: Tensor) -> float:
    """The median time of a forward."""
    taken = []
    for _turn in range(TIMES):
        started = time.perf_counter()
        layer(states)
        if states.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(1000 * (time.perf_counter() - started))
    return max(sorted(taken)[TIMES // 2], SHORTEST)


def priced_record(
    layers: Mapping[str, Linear],
    fits: Mapping[str, FittedLayer],
    times: Mapping[str, LayerTimes],
    share: float,
    unit: Unit = "parameters",
) -> FactorRecord:
    """All blocks, and a budget that is this share of what the layers cost."""
    blocks, wholes = {}, 0.0
    for name, fit in fits.items():
        outputs, inputs = weight_of(layers[name]).shape
        row = LayerBlocks(
            ranks=tuple(fit.ranks), gains=tuple(fit.gains), milliseconds=tuple(times[name].blocks)
        )
        costs = costs_in(row, outputs, inputs, unit)
        blocks[name] = row.model_copy(update={"gains": tuple(falling(fit.gains, costs))})
        whole = {"parameters": 1, "bytes": FLOAT}.get(unit, 0) * outputs * inputs
        wholes += whole or times[name].whole
    return FactorRecord(layers=blocks, budget=Budget(unit=unit, most=share * wholes))


@dataclass(frozen=True)
class SizeTrial:
    """What other budgets and other ways are tried with."""

    policy: Policy
    rows: Sequence[Written]  # the texts, of which some only measure
    layers: Mapping[str, Linear]
    fits: Mapping[str, FittedLayer]
    times: Mapping[str, LayerTimes]


def sizes_tried(trial: SizeTrial, shares: Sequence[float]) -> list[dict[str, Any]]:
    """KL and perplexity by share of the layers' parameters, for each way, on texts that nothing was fitted to."""
    policy = trial.policy
    rows = [row for place, row in enumerate(trial.rows) if place % APART == APART - 1][:TRIED]
    changed = Policy(copy.deepcopy(policy.model), policy.tokenizer)
    plain = {name: plain_way(layer) for name, layer in trial.layers.items() if name in trial.fits}
    subs = {
        "fitted": {name: fit.kept for name, fit in trial.fits.items()},
        "start": {name: fit.start for name, fit in trial.fits.items()},
        "plain": plain,
    }
    subs["equal"] = subs["fitted"]
    found = []
    with counting(len(shares) * len(WAYS), _("sizes")):
        pairs = [(share, way) for share in shares for way in WAYS]
        for share, way in through(pairs, len(pairs)):
            ranks = ranks_by(trial, share, by_worth=way in ("fitted", "start"))
            place_sub_layers(changed.model, trial.layers, subs[way], ranks)
            measured = distances_on(policy, changed, rows)
            found.append({"share": share, "way": WAYS[way], **measured})
    return found


def plain_way(layer: Linear) -> SubLayers:
    """The SVD of a layer's weight, with its bias."""
    weight = weight_of(layer)
    factors = Factors(*(one.float() for one in plain_factors(weight)))
    bias = None if layer.bias is None else layer.bias.detach()
    return SubLayers(factors, None if bias is None else torch.zeros_like(weight[0]), bias)


def ranks_by(trial: SizeTrial, share: float, *, by_worth: bool) -> dict[str, int]:
    """Ranks that take a share of the layers' parameters: shared out by worth, or the same share of each."""
    shapes = {name: sides_of(trial.layers[name]) for name in trial.fits}
    if by_worth:
        return ranks_bought(priced_record(trial.layers, trial.fits, trial.times, share), shapes)
    return {name: int(share * math.prod(sides) / sum(sides)) for name, sides in shapes.items()}


def place_sub_layers(
    model: PreTrainedModel,
    layers: Mapping[str, Linear],
    subs: Mapping[str, SubLayers],
    ranks: Mapping[str, int],
) -> None:
    """Let a copy of the model compute by these sub-layers."""
    for name, sub in subs.items():
        factors = sub.factors.first(ranks[name])
        bias = None
        if sub.mean is not None and sub.center is not None:
            bias = bias_at(factors, sub.mean, sub.center)
        turned = isinstance(layers[name], Conv1D)
        model.set_submodule(name, FactorLinear(factors, bias, turned=turned))


@torch.no_grad()
def distances_on(original: Policy, changed: Policy, rows: Sequence[Written]) -> dict[str, float]:
    """KL a token from the original, and the change of the perplexity, on these texts."""
    rollouts = rollouts_of(original, rows)
    tokens = rollouts.mask.sum()
    kl = completion_token_kls(original.model, changed.model, rollouts).double().sum() / tokens
    logps = [
        completion_token_logps(one.model, rollouts).double().sum() / tokens
        for one in (original, changed)
    ]
    return {"kl_token": kl.item(), "perplexity_change": (logps[0] - logps[1]).expm1().item()}
