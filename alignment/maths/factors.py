"""Matrices as sums of blocks of low rank, W ≈ Σ_j U_j V_jᵀ, the worthiest block first.

What a block is worth depends on what the matrix reads and on how much its outputs matter. With the moments
X = E x xᵀ of its inputs and G = E g gᵀ of the gradient at its outputs, and their Cholesky factors X = S Sᵀ and
G = T Tᵀ, the mean of eᵀ G e over outputs' errors e = (W - W_r) x is ‖Tᵀ (W - W_r) S‖². So the SVD of Tᵀ W S gives the
best matrices of all ranks at once, and the error of rank r is √Σ_{i>r} s_i² (with G = I: SVD-LLM, Wang et al. 2025).
Half of that mean, with a model's own answers, is the KL that a layer costs to second order, so worths of
layers compare (the K-FAC approximation of Martens and Grosse, 2015).
"""

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST = 1e-12  # moment of what never differs from 0


class Factors(NamedTuple):
    """A matrix (out, in) as left · right, with rank-one parts in order of worth."""

    left: Tensor  # (out, rank)
    right: Tensor  # (rank, in)

    def first(self, rank: int) -> "Factors":
        """Its first parts, so many."""
        return Factors(self.left[:, :rank].contiguous(), self.right[:rank].contiguous())

    @property
    def weight(self) -> Tensor:
        """(out, in) what they stand for."""
        return self.left @ self.right


def moment_of(rows: Tensor) -> Tensor:
    """E x xᵀ (n, n), in fp64, of rows (tokens, n)."""
    found = rows.double()
    moment: Tensor = found.T @ found / len(found)
    return moment


def root_of(moment: Tensor, damping: float) -> Tensor:
    """The lower Cholesky factor (n, n), in fp64, of a moment and `damping` of its mean diagonal on the diagonal."""
    found = moment.double()
    size = found.diagonal().mean().clamp(min=SMALLEST)
    eye = torch.eye(len(found), dtype=found.dtype, device=found.device)
    root: Tensor = torch.linalg.cholesky(found + damping * size * eye)
    return root


def whitened_factors(
    weight: Tensor, inputs: Tensor, outputs: Tensor | None = None
) -> tuple[Factors, Tensor]:
    """The factors of full rank of a weight (out, in), fp64, and its whitened singular values (min(out, in),).

    Args:
        weight: W.
        inputs: (in, in) the lower root S of the inputs' moment.
        outputs: (out, out) that of the outputs' worth, T; None: all are worth the same.
    """
    seen = weight.double() @ inputs
    seen = seen if outputs is None else outputs.T @ seen
    u, values, v = torch.linalg.svd(seen, full_matrices=False)
    sides = values.sqrt()
    right = torch.linalg.solve_triangular(inputs, sides[:, None] * v, upper=False, left=False)
    left = u * sides
    if outputs is not None:
        left = torch.linalg.solve_triangular(outputs.T, left, upper=True)
    return Factors(left, right), values


def plain_factors(weight: Tensor) -> Factors:
    """The factors of a weight by its own SVD, whatever it reads."""
    u, values, v = torch.linalg.svd(weight.double(), full_matrices=False)
    sides = values.sqrt()
    return Factors(u * sides, sides[:, None] * v)


def blocks_of(outputs: int, inputs: int, count: int) -> list[int]:
    """Ranks of at most so many blocks, as equal as can be, that take no more than the matrix itself does."""
    most = max(1, outputs * inputs // (outputs + inputs))
    count = min(count, most)
    return [most // count + (place < most % count) for place in range(count)]


def falling(gains: Sequence[float], costs: Sequence[float]) -> list[float]:
    """Gains whose worth per cost never rises: a dear block hands on to the ones before it what it lacks in order.

    That is the upper hull of what a layer has gained by what it has cost; sums at the hull's corners stay.
    """
    hull: list[list[float]] = []  # gain, cost, how many blocks
    for gain, cost in zip(gains, costs, strict=True):
        hull.append([max(gain, 0.0), cost, 1])
        while len(hull) > 1 and hull[-1][0] * hull[-2][1] > hull[-2][0] * hull[-1][1]:
            last = hull.pop()
            hull[-1] = [one + other for one, other in zip(hull[-1], last, strict=True)]
    rates = [gain / cost for gain, cost, count in hull for _ in range(int(count))]
    return [rate * cost for rate, cost in zip(rates, costs, strict=True)]


def shared_out(
    gains: Mapping[str, Sequence[float]], costs: Mapping[str, Sequence[float]], budget: float
) -> dict[str, int]:
    """How many first blocks of each layer a budget buys, by greatest gain per cost.

    While gains per cost fall within each layer, what greedy has bought before it first passes over a block is the
    most that so much can buy; all that a budget buys is within one block's gain of the most.
    """
    taken = dict.fromkeys(gains, 0)
    left = budget
    heap = [(-gains[name][0] / costs[name][0], name) for name in gains if gains[name]]
    heapq.heapify(heap)
    while heap:
        _rate, name = heapq.heappop(heap)
        place = taken[name]
        if costs[name][place] > left:
            continue  # no later block of the layer may come before it
        left -= costs[name][place]
        taken[name] = place + 1
        if place + 1 < len(gains[name]):
            rate = gains[name][place + 1] / costs[name][place + 1]
            heapq.heappush(heap, (-rate, name))
    return taken
