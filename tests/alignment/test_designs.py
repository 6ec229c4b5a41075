"""Choices of rows against brute force on sets that are small enough to try out."""

from itertools import combinations
from math import log

import pytest
import torch

from alignment.maths import designs
from alignment.maths.designs import Agent, auctioned, clusters, d_optimal, k_centre, random_rows


@pytest.fixture(params=range(8))
def points(request):
    return torch.randn(9, 3, generator=torch.Generator().manual_seed(request.param)).double()


def reach(points, rows):
    """How far the farthest point is from the nearest of these."""
    return torch.cdist(points, points[list(rows)]).amin(1).max().item()


def information(points, rows, ridge):
    chosen = points[list(rows)]
    eye = torch.eye(points.shape[1], dtype=torch.float64)
    return torch.logdet(ridge * eye + chosen.T @ chosen).item()


def every(points, size):
    return combinations(range(len(points)), size)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_k_centre_reaches_at_most_twice_as_far_as_the_best(points, size):
    found = k_centre(points, size)
    assert len(set(found)) == size
    best = min(reach(points, rows) for rows in every(points, size))
    assert best <= reach(points, found) <= 2 * best + 1e-12


def test_k_centre_takes_the_farthest_each_time(points):
    found = k_centre(points, 4, first=2)
    assert found[0] == 2
    for place in range(1, 4):
        distance = torch.cdist(points, points[found[:place]]).amin(1)
        assert distance[found[place]].item() == pytest.approx(distance.max().item())


def test_equal_points_are_no_row_twice():
    points = torch.ones(5, 2)
    assert sorted(k_centre(points, 5)) == sorted(d_optimal(points, 5)) == list(range(5))
    assert sorted(auctioned(points, 5, torch.Generator().manual_seed(0))) == list(range(5))


def test_d_optimal_adds_the_most_each_time(points):
    found = d_optimal(points, 5, ridge=0.1)
    for place in range(5):
        before = found[:place]
        gains = {
            row: information(points, [*before, row], 0.1)
            for row in range(len(points))
            if row not in before
        }
        assert gains[found[place]] == pytest.approx(max(gains.values()), abs=1e-9)


def test_what_a_row_adds_is_the_logarithm_of_its_leverage(points):
    """log det(A + x x^T) - log det A = log(1 + x^T A^-1 x), which the choice goes by."""
    eye = torch.eye(3, dtype=torch.float64)
    before = 0.1 * eye + points[:2].T @ points[:2]
    leverage = points[5] @ torch.linalg.solve(before, points[5])
    added = information(points, [0, 1, 5], 0.1) - information(points, [0, 1], 0.1)
    assert added == pytest.approx(log(1 + leverage.item()))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_d_optimal_is_near_the_best_of_all_sets(points, size):
    """Of what can be added, greedy adds 1 - 1/e at least."""
    least = information(points, [], 0.1)
    best = max(information(points, rows, 0.1) for rows in every(points, size)) - least
    added = information(points, d_optimal(points, size, ridge=0.1), 0.1) - least
    assert (1 - 1 / 2.718281828) * best <= added <= best + 1e-9


def uncertain(points, rows, ridge):
    """The variance, over all points, of what ridge regression on some of them predicts."""
    known = points[list(rows)]
    eye = torch.eye(points.shape[1], dtype=torch.float64)
    inverse = torch.linalg.inv(ridge * eye + known.T @ known)
    return (points @ inverse @ points.T).trace().item()


def test_an_agent_bids_what_its_best_row_takes_from_the_variance_of_its_cluster(points):
    rows = torch.tensor([1, 4, 5, 7])
    own, bought = points[rows], []
    agent = Agent(points, rows, ridge=0.1)
    for _ in rows:
        before = uncertain(own, bought, 0.1)
        gains = [
            -1.0 if place in bought else before - uncertain(own, [*bought, place], 0.1)
            for place in range(4)
        ]
        value, place = agent.bid()
        assert value == pytest.approx(max(gains), rel=1e-9)
        assert gains[place] == pytest.approx(value, rel=1e-9)
        assert agent.buy(place) == rows[place]
        bought.append(place)
    assert agent.bid()[0] == -1  # it has nothing left to buy


def test_every_auction_is_won_by_what_is_worth_the_most_in_its_own_cluster(points, monkeypatch):
    monkeypatch.setattr(designs, "AGENTS", 3)
    found = auctioned(points, 9, torch.Generator().manual_seed(1), ridge=0.1)
    assert sorted(found) == list(range(9))
    owners = clusters(points, 3, torch.Generator().manual_seed(1))

    def left(rows):
        parts = [(owners == one).nonzero()[:, 0].tolist() for one in range(3)]
        return sum(
            uncertain(points[part], [part.index(row) for row in rows if row in part], 0.1)
            for part in parts
        )

    for place in range(9):
        before = found[:place]
        others = [left([*before, row]) for row in range(9) if row not in before]
        assert left(found[: place + 1]) == pytest.approx(min(others), rel=1e-9)


def test_clusters_that_lie_apart_are_found_and_each_buys():
    generator = torch.Generator().manual_seed(0)
    centres = 100 * torch.eye(8, dtype=torch.float64)
    points = torch.cat([one + torch.randn(5, 8, generator=generator) for one in centres])
    owners = clusters(points, 8, generator)
    assert all(len(set(owners[5 * one : 5 * one + 5].tolist())) == 1 for one in range(8))
    assert len(set(owners.tolist())) == 8
    found = auctioned(points, 8, generator)
    assert {row // 5 for row in found} == set(range(8))


def test_chance_takes_each_row_once_and_all_alike():
    generator = torch.Generator().manual_seed(0)
    drawn = [random_rows(6, 2, generator) for _ in range(3000)]
    assert all(len(set(rows)) == 2 for rows in drawn)
    counts = torch.tensor([row for rows in drawn for row in rows]).bincount(minlength=6)
    assert (counts - 1000).abs().max() < 4 * (1000 * 2 / 3) ** 0.5


def test_more_than_there_are_is_all(points):
    assert sorted(k_centre(points, 99)) == sorted(d_optimal(points, 99)) == list(range(9))
    assert sorted(auctioned(points, 99, torch.Generator().manual_seed(0))) == list(range(9))


def test_what_is_known_already_counts_and_is_not_chosen(points):
    known, rest = points[:3], points[3:]
    found = d_optimal(rest, 2, ridge=0.5, known=known)
    for size, row in enumerate(found):
        others = [one for one in range(6) if one not in found[:size]]
        worth = [
            information(points, [0, 1, 2, *(3 + n for n in (*found[:size], one))], 0.5)
            for one in others
        ]
        assert others[worth.index(max(worth))] == row
