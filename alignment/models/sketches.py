"""What is kept of a sum of matrices, that its best directions can be told without it: a linear sketch.

A matrix (m, n) is multiplied by a random one (n, k) whose rows have one entry each, 1 or -1, in one of the k columns, and
whose columns have as many entries each as the others: the product is a sum over groups of columns with signs. Products of it with
its transpose are those of the matrix on average (Charikar, Chen and Farach-Colton, 2002; for ranks, Clarkson and Woodruff,
2013), and what is no part of the k directions is spread evenly over all. A sum's sketch is the sum of the sketches, over steps
and over processes; the random matrix comes of a seed, so nobody keeps or sends it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHARE = 4  # columns of a matrix to one of its sketch
WIDEST = 2  # columns of a sketch to one of its rows
HARDLY = 1e-6  # of the energy, for directions that are there, where the sketch tells none
SMALLEST = 1e-30  # energy
TRUST = (
    0.5  # in what a sketch tells beside what is known; its mean square error is least about there
)


def sketch_columns(rows: int, columns: int, rank: int) -> int:
    """How many columns the sketch of such a matrix has: enough for so many directions, and at most as many as it has."""
    wished = min(math.ceil(columns / SHARE), WIDEST * rows)
    return min(columns, max(2 * rank, wished))


def sketched(matrix: Tensor, columns: int, seed: int) -> Tensor:
    """(m, k) the sketch of a matrix (m, n), of so many columns; the same random numbers wherever the seed is the same."""
    generator, count = torch.Generator().manual_seed(seed), matrix.shape[1]
    order = torch.randperm(count, generator=generator).to(matrix.device)
    signs = 2 * torch.randint(2, (count,), generator=generator).to(matrix) - 1
    mixed = F.pad(matrix[:, order] * signs, (0, -count % columns))
    return mixed.reshape(len(matrix), -1, columns).sum(1)


def best_basis(sketch: Tensor, seed: int, basis: Tensor, known: Tensor) -> Tensor:
    """(m, r) the best r directions of what was sketched, turned the least way from a basis P (m, r) of other ones.

    `known` (r, n) is about in proportion to what the matrix S is in that basis. With L = c P known, c as it fits the sketch
    Y = S Omega best, the sketch has to tell the difference of S S' and L L' alone: Y Y' - L Omega Omega' L'. That is noisy, and is
    trusted by half. What nothing tells stays as it is in the basis, and a basis of all m directions stays bit by bit.
    """
    seen, there = (
        sketch.double(),
        sketched(known, sketch.shape[1], seed).double(),
    )  # there: P' L Omega / c
    old, known = basis.double(), known.double()
    fits = ((old.T @ seen) * there).sum() / there.square().sum().clamp(min=SMALLEST)
    difference = fits**2 * (known @ known.T - TRUST * there @ there.T)
    lightly = HARDLY * seen.square().sum().clamp(min=SMALLEST)
    products = (
        TRUST * seen @ seen.T + old @ (difference + lightly * torch.eye(len(known)).to(old)) @ old.T
    )
    span = torch.linalg.eigh(products).eigenvectors[:, -basis.shape[1] :]
    return least_turned(span, old).to(basis).contiguous()


def least_turned(span: Tensor, basis: Tensor) -> Tensor:
    """(m, r) the orthonormal basis of the span of one, nearest to another one; that other one itself if they span the same.

    Of all bases of a span U the nearest is U R, R the orthogonal factor of U' P (Schoenemann, 1966). It is computed as
    P - P W (1 - cos) W' + (1 - P P') U R, by the principal angles between both.
    """
    one, _cosines, other = torch.linalg.svd(span.T @ basis)
    nearest = span @ (one @ other)
    beside = nearest - basis @ (basis.T @ nearest)
    squares, turns = torch.linalg.eigh(beside.T @ beside)
    less = 1 - (1 - squares.clamp(0, 1)).sqrt()
    return orthonormal(basis - basis @ ((turns * less) @ turns.T) + beside)


def orthonormal(basis: Tensor) -> Tensor:
    """(m, r) orthonormal columns of the same spans, none turned round."""
    found, triangle = torch.linalg.qr(basis)
    signs = torch.where(triangle.diagonal() < 0, -1.0, 1.0).to(basis)
    turned: Tensor = found * signs
    return turned.contiguous()
