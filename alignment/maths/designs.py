"""Choosing rows to learn from by where they lie: by chance, k-centre, D-optimal, by agents. Points are (n, d)."""

import torch
from torch import Tensor

RIDGE = 1e-3  # of the points' mean square: what is known of every direction before any row is
AGENTS = 8  # that own the points between them, at least
OWNED = 500  # points of one, about, at most: it keeps a number for each pair of them
TURNS = 10  # of k-means


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


def d_optimal(
    points: Tensor, size: int, ridge: float | None = None, known: Tensor | None = None
) -> list[int]:
    """Rows whose information log det(ridge I + sum x x^T) is large: each next one adds the most.

    What is `known` (m, d) already counts from the beginning and is not chosen. Adding x adds
    log(1 + x^T A^-1 x); by the matrix determinant lemma. The sum is submodular, so greedy reaches 1 - 1/e of the
    most that can be added (Nemhauser, Wolsey and Fisher 1978).
    """
    points = points.double()
    scale = _ridge(points) if ridge is None else ridge
    whole = scale * torch.eye(points.shape[1], dtype=torch.float64, device=points.device)
    if known is not None:
        whole += known.double().T @ known.double()
    inverse = torch.linalg.inv(whole)
    gain = ((points @ inverse) * points).sum(1)
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


class Agent:
    """Owner of a cluster of rows, who knows how uncertain a linear model of their own still is of each of them."""

    def __init__(self, points: Tensor, rows: Tensor, ridge: float) -> None:
        own = points[rows].double()
        self.rows, self.free = rows, torch.ones(len(rows), dtype=torch.bool, device=points.device)
        self.covariance = (
            own @ own.T / ridge
        )  # (n, n) of what is predicted of the rows, in units of the noise

    def bid(self) -> tuple[float, int]:
        """How much variance over all its rows the best one that is left would take away, and its place; -1 for none.

        Learning x leaves C - C x x^T C / (1 + x^T C x) of the covariance, whose trace is the variance.
        """
        column = self.covariance.square().sum(0) / (1 + self.covariance.diagonal())
        worth = torch.where(self.free, column, -1.0)
        place = int(worth.argmax())
        return float(worth[place]), place

    def buy(self, place: int) -> int:
        """Learn from the row at a place of its own; which row that is of all."""
        column = self.covariance[:, place] / (1 + self.covariance[place, place]).sqrt()
        self.covariance = self.covariance - torch.outer(column, column)
        self.free[place] = False
        return int(self.rows[place])


def auctioned(
    points: Tensor, size: int, generator: torch.Generator, ridge: float | None = None
) -> list[int]:
    """Rows that agents bought, each for its own cluster; every next one goes to the highest bid.

    All have the same purse and bid what a row is worth to them, so each auction adds the most to the sum of all
    worths. What an agent buys lowers its next bids: large and varied clusters buy more, and none is left out for long.
    """
    points = points.double()
    scale = _ridge(points) if ridge is None else ridge
    count = min(max(AGENTS, len(points) // OWNED), len(points))
    owners = clusters(points, count, generator)
    agents = [
        Agent(points, rows, scale)
        for one in range(count)
        if len(rows := (owners == one).nonzero()[:, 0])
    ]
    bids, chosen = [agent.bid() for agent in agents], list[int]()
    while len(chosen) < min(size, len(points)):
        winner = max(range(len(agents)), key=lambda one: bids[one][0])
        chosen.append(agents[winner].buy(bids[winner][1]))
        bids[winner] = agents[winner].bid()
    return chosen


def clusters(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(n,) the cluster of each point, by k-means from centres that lie far apart (Lloyd 1982)."""
    first = int(torch.randint(len(points), (1,), generator=generator))
    centres = points[k_centre(points, count, first)]
    for _ in range(TURNS):
        owners = torch.cdist(points, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, owners, points)
        sizes = torch.bincount(owners, minlength=count)[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return torch.cdist(points, centres).argmin(1)


def _ridge(points: Tensor) -> float:
    return max(RIDGE * float(points.square().mean()), 1e-12)
