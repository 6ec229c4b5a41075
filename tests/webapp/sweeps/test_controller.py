"""A controller that learned on recorded curves, tried on others."""

import random

import pytest

from webapp.sweeps.controller import (
    Recorded,
    at_shares,
    controlled,
    learned_worth,
    restored,
    state_of,
    stored,
)
from webapp.sweeps.space import AtRung

SHARES = (1 / 9, 1 / 3)


def curves(seed, count=20, noise=0.05):
    """What leads early leads in the end, but for noise."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        score = chance.random()
        heights = tuple(share**0.3 * score + chance.gauss(0, noise) for share in SHARES)
        found.append(Recorded(heights, score))
    return found


def tried(worth, rows):
    """The best score that is found, and the share of all steps that it takes."""
    arrivals, best, steps = [], -1.0, 0.0
    for number, row in enumerate(rows):
        reached = 1.0
        for rung, height in enumerate(row.heights):
            arrivals.append(AtRung(number, rung, height))
            if not controlled(worth, arrivals, larger=True):
                reached = SHARES[rung]
                break
        best = max(best, row.score if reached == 1.0 else -1.0)
        steps += reached / len(rows)
    return best, steps


@pytest.fixture(scope="module")
def worth():
    return learned_worth([*curves(0), *curves(1)], SHARES)


def test_what_it_learned_saves_steps_on_curves_that_it_never_saw(worth):
    """Ten sweeps: it ends near the best of each at less than half of the steps."""
    found = [
        (tried(worth, rows), max(row.score for row in rows)) for rows in map(curves, range(2, 12))
    ]
    assert sum(steps for (_, steps), _ in found) / 10 < 0.5
    assert sum(best - reached for (reached, _), best in found) / 10 < 0.05


def test_to_lead_is_worth_more_than_to_lag(worth):
    leads = [value for (rung, place, _), value in worth.items() if (rung, place) == (0, 0)]
    lags = [value for (rung, place, _), value in worth.items() if (rung, place) == (0, 3)]
    assert min(leads) > 0 > max(lags)


def test_the_same_curves_teach_the_same(worth):
    assert learned_worth([*curves(0), *curves(1)], SHARES) == worth
    assert restored(stored(worth)) == worth


def test_states():
    others = [[1.0, 2.0], [2.0, 2.5], [3.0]]
    assert state_of([4.0], others) == (0, 0, 0)
    assert state_of([2.5], others) == (0, 1, 0)
    assert state_of([1.5], others) == (0, 2, 0)
    assert state_of([0.5], others) == (0, 3, 0)
    assert state_of([1.0, 3.0], others) == (1, 0, 1)
    assert state_of([2.2, 2.3], others) == (1, 2, 2)


def test_who_diverged_is_stopped_and_the_first_goes_on(worth):
    assert not controlled(worth, [AtRung(0, 0, 1.0), AtRung(1, 0, None)], larger=False)
    assert controlled({}, [AtRung(0, 0, 1.0)], larger=False)
    lags = {(0, 3, 0): -1.0, (0, 2, 0): -1.0, (0, 1, 0): -1.0}
    low = [AtRung(0, 0, 1.0), AtRung(1, 0, 2.0)]
    assert not controlled(lags, low, larger=False)
    assert controlled(lags, low, larger=True)


def test_a_curve_at_shares_of_its_steps_is_its_mean_since_half_of_the_way():
    points = [(5, 1.0), (10, 2.0), (20, 3.0), (30, 4.0)]
    assert list(at_shares(points, 30, (0.1, 1 / 3, 0.7, 1.0))) == [1.0, 2.0, 3.0, 3.5]
    assert list(at_shares([(2, 7.0)], 30, (1.0,))) == [7.0]
