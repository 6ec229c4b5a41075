"""Learning curves a - b n^(-c), fitted to what was measured at several amounts n, and what more of n would bring.

The form is that of Cortes et al. 1993, “Learning curves: asymptotic values and rate of convergence”. For each power c of
a list a and b are found by weighted least squares, with b >= 0 and a at most what is possible; the best c is taken. The
interval is a parametric bootstrap: every value is drawn anew about the curve, as widely as it was measured or, where the
curve leaves more than that, as widely as the curve leaves it; and all is fitted again.
"""

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

POWERS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0)
DRAWS = 400  # of the bootstrap
FEWEST_AMOUNTS = 3  # different ones: a, b and c are three numbers
WIDEST = 1.5  # at least, the largest amount over the smallest
NOISE = 1e-9  # least standard error


class Point(NamedTuple):
    """What was measured after so much of something."""

    amount: float
    value: float
    error: float  # standard


class LearningCurve(NamedTuple):
    """a - b n^(-c)."""

    limit: float
    scale: float
    power: float

    def at(self, amount: float) -> float:
        """The value after so much."""
        return self.limit - self.scale * float(amount**-self.power)


class Gain(NamedTuple):
    """What more brings, or what the value is then, with its 95 % interval."""

    value: float
    low: float
    high: float


class _Power(NamedTuple):
    """One c with what every fit by it needs: weights, n^(-c), and their sums."""

    power: float
    xs: list[float]
    weights: list[float]
    total: float
    first: float
    second: float


def tells_enough(points: Sequence[Point]) -> bool:
    """Whether there are different amounts enough, and far enough apart, to fit a curve to."""
    amounts = {one.amount for one in points if one.amount > 0}
    return len(amounts) >= FEWEST_AMOUNTS and max(amounts) >= WIDEST * min(amounts)


def fit_curve(points: Sequence[Point], most: float) -> LearningCurve:
    """The curve nearest to the points, whose limit is at most `most`."""
    return _fitted(_powers(points), [one.value for one in points], most)


def gain_of(points: tuple[Point, ...], now: float, more: float, most: float) -> Gain:
    """What so much more than there is now adds to the value."""
    return _expected(points, most, lambda curve: curve.at(now + more) - curve.at(now))


def value_after(points: tuple[Point, ...], amount: float, most: float) -> Gain:
    """The value after so much.

    All points are measured by the same held-out rows, or nearly so: their level errs as a whole, by what the surest of
    them does. A gain, which is a difference, does not.
    """
    common = min(one.error for one in points)
    return _expected(points, most, lambda curve: curve.at(amount), common)


def _expected(
    points: tuple[Point, ...],
    most: float,
    told: Callable[[LearningCurve], float],
    common: float = 0.0,
) -> Gain:
    """What the curve tells, and the interval of what curves tell that were fitted to values drawn anew.

    `common` is the standard error of all values together.
    """
    curve, others = redrawn_curves(points, most)
    chance = random.Random(len(points))  # noqa: S311 - a simulation, not a secret
    value, drawn = told(curve), sorted(told(one) + chance.gauss(0, common) for one in others)
    low, high = (drawn[round(share * (DRAWS - 1))] for share in (0.025, 0.975))
    return Gain(value, min(low, value), max(min(high, most), value))


@lru_cache(maxsize=256)  # a home asks for the same until another run is over
def redrawn_curves(
    points: tuple[Point, ...], most: float, seed: int = 0
) -> tuple[LearningCurve, list[LearningCurve]]:
    """The curve through these points, and curves through values that are drawn about it."""
    powers, chance = _powers(points), random.Random(seed)  # noqa: S311 - a simulation, not a secret
    curve = _fitted(powers, [one.value for one in points], most)
    wide = _left_over(points, curve)

    def again() -> list[float]:
        return [chance.gauss(curve.at(one.amount), wide * max(one.error, NOISE)) for one in points]

    return curve, [_fitted(powers, again(), most) for _ in range(DRAWS)]


def _left_over(points: Sequence[Point], curve: LearningCurve) -> float:
    """By how much the curve misses more than was measured (Birge's ratio), at least 1."""
    free = len(points) - FEWEST_AMOUNTS
    if free < 1:
        return 1.0
    missed = (((one.value - curve.at(one.amount)) / max(one.error, NOISE)) ** 2 for one in points)
    return float(max(1.0, (sum(missed) / free) ** 0.5))


def _powers(points: Sequence[Point]) -> list[_Power]:
    weights = [max(one.error, NOISE) ** -2 for one in points]
    found = []
    for power in POWERS:
        xs = [one.amount**-power for one in points]
        first = sum(w * x for w, x in zip(weights, xs, strict=True))
        second = sum(w * x * x for w, x in zip(weights, xs, strict=True))
        found.append(_Power(power, xs, weights, sum(weights), first, second))
    return found


def _fitted(powers: Sequence[_Power], values: Sequence[float], most: float) -> LearningCurve:
    """By the power that leaves the least."""
    fits = (_with_power(one, values, most) for one in powers)
    return min(fits, key=lambda fit: fit[0])[1]


def _with_power(one: _Power, values: Sequence[float], most: float) -> tuple[float, LearningCurve]:
    """The weighted squares that the best curve of this power leaves, and that curve."""
    rows = list(zip(one.weights, one.xs, values, strict=True))
    sum_v = sum(w * v for w, _x, v in rows)
    sum_xv = sum(w * x * v for w, x, v in rows)
    spread = one.total * one.second - one.first**2
    slope = (one.first * sum_v - one.total * sum_xv) / spread if spread > 0 else 0.0
    slope = max(0.0, slope)
    limit = (sum_v + slope * one.first) / one.total
    if limit > most:
        limit = most
        slope = max(0.0, (most * one.first - sum_xv) / one.second)
    left = sum(w * (v - limit + slope * x) ** 2 for w, x, v in rows)
    return left, LearningCurve(limit, slope, one.power)
