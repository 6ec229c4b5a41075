"""A linear layer as sub-layers of low rank, fitted by itself to what it reads, writes and is worth.

It starts from the whitening SVD of what it reads. Least squares then also weighs outputs by the gradient of the
texts' log-probability there, and answers the mean input exactly where the layer has a bias. Adam goes on from
the better of both, on Σ_i (g_iᵀ (y_i - f(x_i)))² and a part of the same errors weighed alike for all tokens, over first
blocks of all numbers. Of the three, that is kept which does best on tokens that only measure. Nothing here reads
another layer: any order, and any number of processes, give the same.
"""

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.lab.layers import Seen
from alignment.maths.factors import Factors, blocks_of, root_of, whitened

RATE_END = 0.1  # of the learning rate, at the last step
BATCH = 512  # tokens of a step


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
        return self.errors[self.way][count - 1] / max(self.whole, 1e-30)


def fit_layer(
    name: str, weight: Tensor, bias: Tensor | None, seen: Seen, options: FitOptions
) -> FittedLayer:
    """The sub-layers of a layer of this weight (out, in)."""
    fitted, held = seen.part(fitted=True), seen.part(fitted=False)
    ranks = blocks_of(*weight.shape, options.sublayers)
    root = root_of(fitted.gradients.T @ fitted.gradients / len(fitted.fitted), options.damping)
    start, identity = started(weight, bias, fitted, options.damping, ranks)
    ways = {"start": start, "squares": solved(weight, bias, fitted, root, options.damping)}
    errors = {way: errors_of(one, held, root, ranks) for way, one in ways.items()}
    if options.steps:
        best = min(ways, key=lambda way: sum(errors[way]))
        ways["adam"] = moved(ways[best], fitted, root, ranks, (name, options))
        errors["adam"] = errors_of(ways["adam"], held, root, ranks)
    way = min(ways, key=lambda way: sum(errors[way]))
    all_errors = errors_of(ways[way], seen, root, ranks, nothing=True)
    gains = [(one - other) / 2 for one, other in itertools.pairwise(all_errors)]
    whole = errors_of(ways[way], held, root, ranks, nothing=True)[0]
    return FittedLayer(start, ways[way], ranks, gains, errors, whole, way, identity)


def cut(layer: Factors, rank: int) -> Factors:
    """The first parts, in fp32."""
    return Factors(*(one.float() for one in layer.first(rank)))


def started(
    weight: Tensor, bias: Tensor | None, seen: Seen, damping: float, ranks: Sequence[int]
) -> tuple[SubLayers, float]:
    """The whitening SVD, and how far its errors are from what its singular values say, relative."""
    inputs = seen.inputs.double()
    root = root_of(inputs.T @ inputs / len(inputs), damping)
    factors, values = whitened(weight, root)
    rank = sum(ranks[: (len(ranks) + 1) // 2])
    found = ((weight.double() - factors.first(rank).weight) @ root).norm()
    said = values[rank:].square().sum().sqrt()
    identity = ((found - said).abs() / values.norm().clamp(min=1e-30)).item()
    mean = None if bias is None else torch.zeros_like(weight[0])
    return SubLayers(cut(factors, sum(ranks)), mean, bias), identity


def solved(
    weight: Tensor, bias: Tensor | None, seen: Seen, root: Tensor, damping: float
) -> SubLayers:
    """Least squares for all numbers of blocks at once, outputs weighed by what they are worth."""
    rank = sum(blocks_of(*weight.shape, 1))
    inputs = seen.inputs.double()
    mean = inputs.mean(0) if bias is not None else torch.zeros_like(inputs[0])
    inputs = inputs - mean
    factors, _values = whitened(weight, root_of(inputs.T @ inputs / len(inputs), damping), root)
    if bias is None:
        return SubLayers(cut(factors, rank), None, None)
    center = weight.double() @ mean + bias.double()
    return SubLayers(cut(factors, rank), mean.float(), center.float())


@torch.no_grad()
def errors_of(
    layer: SubLayers, seen: Seen, root: Tensor, ranks: Sequence[int], *, nothing: bool = False
) -> list[float]:
    """Means over tokens of eᵀ G e by the first 1, 2, … blocks, or from 0 on, where `root` is that of G."""
    weigh = root.float()
    bias = layer.center if layer.center is not None else 0.0
    mean = layer.mean if layer.mean is not None else 0.0
    inner = (seen.inputs - mean) @ layer.factors.right.T
    left = seen.outputs - bias
    found = [(left @ weigh).square().sum(1).mean().item()] if nothing else []
    place = 0
    for rank in ranks:
        some = slice(place, place + rank)
        left = left - inner[:, some] @ layer.factors.left[:, some].T
        found.append((left @ weigh).square().sum(1).mean().item())
        place += rank
    return found


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
    groups = [
        {"params": [one], "lr": options.learning_rate * size}
        for one, size in zip(factors, scale, strict=True)
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    peaks = [group["lr"] for group in groups]
    wholes = errors_of(start, seen, root, ranks)
    for step in range(options.steps):
        count = int(torch.randint(1, len(ranks) + 1, (), generator=generator))
        picked = torch.randint(len(seen.inputs), (BATCH,), generator=generator)
        picked = picked.to(seen.inputs.device)
        with torch.enable_grad():
            found = layer.outputs(seen.inputs[picked], sum(ranks[:count]))
            error = seen.outputs[picked] - found
            own = (error * seen.gradients[picked]).sum(1).square().mean()
            alike = (error @ weigh).square().sum(1).mean()
            loss = (own + alike) / max(wholes[count - 1], 1e-30)
        gradients = torch.autograd.grad(loss, list(factors))
        for one, slope in zip(factors, gradients, strict=True):
            one.grad = slope
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * (1 - (1 - RATE_END) * step / options.steps)
        optimizer.step()
    return SubLayers(Factors(*(one.detach() for one in factors)), start.mean, start.center)
