"""Choosing rows to learn from by where they lie: by chance, k-centre, D-optimal. Points are (n, d)."""

import torch
from torch import Tensor

RIDGE = 1e-3  # of the points' mean square: what is known of every direction before any row is


def random_rows(count: int, size: int, generator: torch.Generator) -> list[int]:
    """So many different rows of `count`, each set as likely as any other."""
    return torch.randperm(count, generator=generator)[:size].tolist()


def k_centre(points: Tensor, size: int, first: int = 0) -> list[int]:
    """Rows such that no point is far from all of them: each next one is the farthest from those before.

    Its largest distance is at most twice the least possible (Gonzalez 1985, Theorem 2.2).
    """
    chosen, distance = [first], (points - points[first]).square().sum(1)
    while len(chosen) < min(size, len(points)):
        distance[chosen] = -1.0  # equal points may come, but no row twice
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (points - points[chosen[-1]]).square().sum(1))
    return chosen


def d_optimal(points: Tensor, size: int, ridge: float | None = None) -> list[int]:
    """Rows whose information log det(ridge I + sum x x^T) is large: each next one adds the most.

    Adding x adds log(1 + x^T A^-1 x); by the matrix determinant lemma. The sum is submodular, so greedy
    reaches 1 - 1/e of the most that can be added (Nemhauser, Wolsey and Fisher 1978).
    """
    points = points.double()
    scale = RIDGE * float(points.square().mean()) if ridge is None else ridge
    inverse = torch.eye(points.shape[1], dtype=torch.float64, device=points.device)
    inverse /= max(scale, 1e-12)
    gain = points.square().sum(1) * inverse[0, 0]
    chosen: list[int] = []
    while len(chosen) < min(size, len(points)):
        free = gain.clone()
        free[chosen] = -1.0
        best = int(free.argmax())
        move = inverse @ points[best] / (1 + gain[best]).sqrt()
        inverse -= torch.outer(move, move)  # Sherman and Morrison
        gain = (gain - (points @ move).square()).clamp(min=0.0)
        chosen.append(best)
    return chosen
