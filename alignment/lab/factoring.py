"""A linear layer as sub-layers of low rank, fitted by itself to what it reads, writes and is worth.

It starts from the whitening SVD of what it reads. Least squares then also weighs outputs by the gradient of the
texts' log-probability there, and answers the mean input exactly where the layer has a bias. No sum of squares that
weighs all tokens alike can be smaller, so Adam goes on from the better of both where tokens are weighed by their own
gradients too (`weighed_error`), over first blocks of all numbers. Of the three, that is kept which does best on tokens that only measure. Nothing here reads
another layer: any order, and any number of processes, give the same.
"""

import itertools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.lab.layers import Seen
from alignment.maths.factors import Factors, blocks_of, moment_of, root_of, whitened_factors

RATE_END = 0.1  # of the learning rate, at the last step
BATCH = 512  # tokens of a step
SMALLEST = 1e-30  # error


@dataclass(frozen=True)
class FitOptions:
    """How layers are fitted; `steps` are of Adam."""

    sublayers: int
    damping: float
    steps: int
    learning_rate: float
    seed: int


class SubLayers(NamedTuple):
    """A layer as blocks of low rank, the worthiest first; `mean` and `center` where it has a bias."""

    factors: Factors
    mean: Tensor | None
    center: Tensor | None

    def outputs(self, inputs: Tensor, rank: int) -> Tensor:
        """(n, out) of inputs (n, in) by the first rank-one parts."""
        first = self.factors.first(rank)
        if self.mean is None or self.center is None:
            return inputs @ first.right.T @ first.left.T
        return (inputs - self.mean) @ first.right.T @ first.left.T + self.center


class FittedLayer(NamedTuple):
    """A layer's sub-layers, what each block is worth, and what was reached."""

    start: SubLayers
    kept: SubLayers
    ranks: list[int]  # of the blocks
    gains: list[float]  # nats a token, to second order, of each block
    errors: dict[str, list[float]]  # on tokens that only measure, by the first blocks, for each way
    whole: float  # the same without any block
    way: str  # start, squares or adam
    identity: float  # how far the start's errors are from √Σ s², relative

    def left_at(self, share: float) -> float:
        """The error with this share of the blocks, of what the layer writes, on tokens that only measure."""
        count = max(1, round(share * len(self.ranks)))
        return self.errors[self.way][count - 1] / max(self.whole, SMALLEST)


def fit_layer(
    name: str, weight: Tensor, bias: Tensor | None, seen: Seen, options: FitOptions
) -> FittedLayer:
    """The sub-layers of a layer of this weight (out, in)."""
    fitted, held = seen.part(fitted=True), seen.part(fitted=False)
    outputs, inputs = weight.shape
    ranks = blocks_of(outputs, inputs, options.sublayers)
    root = root_of(moment_of(fitted.gradients), options.damping)
    start, identity = started(weight, bias, fitted, options.damping, ranks)
    ways = {"start": start, "squares": solved(weight, bias, fitted, root, options.damping)}
    errors = {way: errors_of(one, held, root, ranks) for way, one in ways.items()}
    if options.steps:
        ways["adam"] = moved(ways[best_of(errors)], fitted, root, ranks, (name, options))
        errors["adam"] = errors_of(ways["adam"], held, root, ranks)
    way = best_of(errors)
    all_errors = errors_of(ways[way], seen, root, ranks, nothing=True)
    gains = [max(0.0, (one - other) / 2) for one, other in itertools.pairwise(all_errors)]
    whole = errors_of(ways[way], held, root, ranks, nothing=True)[0]
    return FittedLayer(start, ways[way], ranks, gains, errors, whole, way, identity)


def best_of(errors: Mapping[str, Sequence[float]]) -> str:
    """The way whose errors, each beside the start's by as many blocks, are the smallest together."""

    def beside(way: str) -> float:
        pairs = zip(errors[way], errors["start"], strict=True)
        return sum(one / max(other, SMALLEST) for one, other in pairs)

    return min(errors, key=beside)


def in_fp32(layer: Factors, rank: int) -> Factors:
    """The first parts, in fp32."""
    return Factors(*(one.float() for one in layer.first(rank)))


def started(
    weight: Tensor, bias: Tensor | None, seen: Seen, damping: float, ranks: Sequence[int]
) -> tuple[SubLayers, float]:
    """The whitening SVD, and how far its errors are from what its singular values say, relative."""
    root = root_of(moment_of(seen.inputs), damping)
    factors, values = whitened_factors(weight, root)
    rank = sum(ranks[: (len(ranks) + 1) // 2])
    found = ((weight.double() - factors.first(rank).weight) @ root).norm()
    said = values[rank:].square().sum().sqrt()
    identity = ((found - said).abs() / values.norm().clamp(min=1e-30)).item()
    mean = None if bias is None else torch.zeros_like(weight[0])
    return SubLayers(in_fp32(factors, sum(ranks)), mean, bias), identity


def solved(
    weight: Tensor, bias: Tensor | None, seen: Seen, root: Tensor, damping: float
) -> SubLayers:
    """Least squares for all numbers of blocks at once, outputs weighed by what they are worth."""
    (rank,) = blocks_of(weight.shape[0], weight.shape[1], 1)
    inputs = seen.inputs.double()
    mean = inputs.mean(0) if bias is not None else torch.zeros_like(inputs[0])
    factors, _values = whitened_factors(weight, root_of(moment_of(inputs - mean), damping), root)
    if bias is None:
        return SubLayers(in_fp32(factors, rank), None, None)
    center = weight.double() @ mean + bias.double()
    return SubLayers(in_fp32(factors, rank), mean.float(), center.float())


@torch.no_grad()
def errors_of(
    layer: SubLayers, seen: Seen, root: Tensor, ranks: Sequence[int], *, nothing: bool = False
) -> list[float]:
    """`weighed_error`, in the mean of tokens, by the first 1, 2, … blocks, or from 0 on."""
    weigh = root.float()
    bias = layer.center if layer.center is not None else 0.0
    mean = layer.mean if layer.mean is not None else 0.0
    inner = (seen.inputs - mean) @ layer.factors.right.T
    left = seen.outputs - bias
    found = [weighed_error(left, seen.gradients, weigh).item()] if nothing else []
    place = 0
    for rank in ranks:
        some = slice(place, place + rank)
        left = left - inner[:, some] @ layer.factors.left[:, some].T
        found.append(weighed_error(left, seen.gradients, weigh).item())
        place += rank
    return found


def weighed_error(errors: Tensor, gradients: Tensor, root: Tensor) -> Tensor:
    """The mean over tokens of ((g_iᵀ e_i)² + e_iᵀ G e_i) / 2, with `root` that of G, of errors and gradients (n, out)."""
    own = (errors * gradients).sum(1).square()
    alike = (errors @ root).square().sum(1)
    return (own + alike).mean() / 2


def moved(
    start: SubLayers,
    seen: Seen,
    root: Tensor,
    ranks: Sequence[int],
    how: tuple[str, FitOptions],
) -> SubLayers:
    """Adam on the errors of tokens as each token's own gradient sees them; each step on first blocks of some number."""
    name, options = how
    generator = torch.Generator().manual_seed(options.seed * 2**32 + zlib.crc32(name.encode()))
    weigh = root.float()
    factors = Factors(*(one.clone().requires_grad_() for one in start.factors))
    layer = SubLayers(factors, start.mean, start.center)
    scale = [max(one.square().mean().sqrt().item(), 1e-12) for one in start.factors]
    peaks = [options.learning_rate * size for size in scale]
    groups = [{"params": [one], "lr": peak} for one, peak in zip(factors, peaks, strict=True)]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    wholes = errors_of(start, seen, root, ranks)
    for step in range(options.steps):
        count = int(torch.randint(1, len(ranks) + 1, (), generator=generator))
        picked = torch.randint(len(seen.inputs), (BATCH,), generator=generator)
        picked = picked.to(seen.inputs.device)
        with torch.enable_grad():
            found = layer.outputs(seen.inputs[picked], sum(ranks[:count]))
            error = seen.outputs[picked] - found
            loss = weighed_error(error, seen.gradients[picked], weigh) / max(
                wholes[count - 1], SMALLEST
            )
        gradients = torch.autograd.grad(loss, list(factors))
        for one, slope in zip(factors, gradients, strict=True):
            one.grad = slope
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * (1 - (1 - RATE_END) * step / options.steps)
        optimizer.step()
    return SubLayers(Factors(*(one.detach() for one in factors)), start.mean, start.center)
