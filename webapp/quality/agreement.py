"""How far people who answer the same question agree: Krippendorff's alpha and agreement of pairs, with intervals.

Numbers in, numbers out. Alpha is 1 - D_o / D_e (Krippendorff, Content Analysis, 4th edition, chapter 12): the
disagreement that was observed within tasks over what would be expected if all labels were dealt out anew. Each
level of measurement is a squared distance between vectors, so that one form computes them all:

- nominal: one-hot vectors; interval: the numbers themselves, one coordinate an attribute;
- ordinal: midranks among all labels, which is Krippendorff's own ordinal difference;
- ranking: for each two items whether the first stands at least as high as the second. Their squared distance is the
  Kemeny-Snell distance of rankings with ties (Kemeny and Snell, Mathematical Models in the Social Sciences, 1962).
  Rankings of different numbers of items are only ever compared with those of the same number.

Intervals are drawn by a bootstrap over tasks, as labels of one task hang together, bias-corrected and accelerated
(Efron, Better bootstrap confidence intervals, 1987).
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, permutations
from math import sqrt
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Level = Literal["nominal", "ordinal", "interval", "ranking"]
Value = Hashable  # nominal: anything; ordinal, interval: numbers, one an attribute; ranking: the rank of each item
Coordinate = tuple[int, Any]  # of a vector
Floats = NDArray[np.float64]
DRAWS = 1000
CONFIDENCE = 0.95
SEED = 20
ROOM = 2_000_000  # numbers that are in hand at once
FEWEST = 10  # tasks of which an interval can be said
FEW = 2000  # units; among more, leaving one out moves nothing, and is not tried
SMALLEST = 1e-12
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
RANKING = re.compile(r"\d+(?:[>=]\d+)+")


class Estimated(NamedTuple):
    """A figure with its 95 % interval, and how many tasks and labels it was found in; None where there are too few."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    tasks: int = 0
    labels: int = 0


class Distances:
    """The units of one stratum as sums of vectors: of each how many labels, their sum, and the sum of their squares."""

    def __init__(self, units: Sequence[tuple[Value, ...]], level: Level) -> None:
        self.size = np.array([len(unit) for unit in units], dtype=float)  # (units,)
        self.ranked = level == "ordinal"
        self.known: dict[Coordinate, int] = {}  # the column of each
        entries = [(row, *one) for row, unit in enumerate(units) for one in self._of(unit, level)]
        table = np.array(entries, dtype=float).reshape(-1, 3)
        rows, columns, values = table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2]
        shape = (len(units), len(self.known))
        self.sums = sparse.csr_array((values, (rows, columns)), shape=shape)
        self.squares = np.bincount(rows, values**2, len(units))  # (units,)

    def _of(self, unit: tuple[Value, ...], level: Level) -> Iterator[tuple[int, float]]:
        for value in unit:
            for coordinate, number in coordinates(value, level):
                yield self.known.setdefault(coordinate, len(self.known)), number

    def of(self, times: Floats) -> tuple[Floats, Floats]:
        """Observed and expected disagreement where each unit occurs so often; `times` and both are (draws, …)."""
        return self._by_ranks(times) if self.ranked else self._by_vectors(times)

    @cached_property
    def within(self) -> Floats:
        """Each unit's own disagreement: of all its pairs, by what it has labels."""
        lengths = np.asarray(self.sums.multiply(self.sums).sum(axis=1)).ravel()
        found: Floats = 2 * (self.size * self.squares - lengths) / (self.size - 1)
        return found

    def _by_vectors(self, times: Floats) -> tuple[Floats, Floats]:
        number = times @ self.size
        whole = np.asarray((self.sums.T @ times.T).T)
        expected = 2 * (number * (times @ self.squares) - (whole**2).sum(axis=1))
        return times @ self.within, expected / np.maximum(number - 1, 1)

    @cached_property
    def attributes(self) -> list[sparse.csr_array]:
        """How often each unit has each step of an attribute, from the lowest: for every attribute."""
        attributes = groupby(sorted(self.known.items()), key=lambda one: one[0][0])
        return [self.sums[:, [column for _, column in steps]] for _, steps in attributes]

    def _by_ranks(self, times: Floats) -> tuple[Floats, Floats]:
        observed, expected = np.zeros(len(times)), np.zeros(len(times))
        for counts in self.attributes:
            often = np.asarray((counts.T @ times.T).T)  # (draws, steps)
            ranks = np.cumsum(often, axis=1) - often / 2
            sums, squares = np.asarray(counts @ ranks.T), np.asarray(counts @ (ranks**2).T)
            size = self.size[:, None]
            within = 2 * (size * squares - sums**2) / (size - 1)
            observed += (times.T * within).sum(axis=0)
            number = often.sum(axis=1)
            whole = number * (often * ranks**2).sum(axis=1) - (often * ranks).sum(axis=1) ** 2
            expected += 2 * whole / np.maximum(number - 1, 1)
        return observed, expected


def coordinates(value: Value, level: Level) -> Iterator[tuple[Coordinate, float]]:
    """The coordinates of a value that are not zero, each with its name."""
    if level == "nominal":
        yield (0, value), sqrt(0.5)
    elif level == "ranking":
        ranks = _several(value)
        for one, other in permutations(range(len(ranks)), 2):
            if ranks[one] <= ranks[other]:
                yield (one, other), 1.0
    else:
        for name, number in enumerate(_several(value)):
            yield ((name, number), 1.0) if level == "ordinal" else ((name, 0), number)


def _several(value: Value) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True)
class Units:
    """Different tasks by what was said of them, each with how many there are like it."""

    patterns: list[tuple[Value, ...]]
    times: Floats

    @classmethod
    def of(cls, units: Iterable[Sequence[Value]]) -> "Units":
        """Those with two labels at least: one alone agrees with nobody."""
        counted = Counter(tuple(sorted(unit, key=repr)) for unit in units if len(unit) > 1)
        return cls(list(counted), np.array(list(counted.values()), dtype=float))

    @property
    def tasks(self) -> int:
        """How many there are."""
        return int(self.times.sum())

    @property
    def labels(self) -> int:
        """How many labels they have."""
        return int(
            sum(len(one) * times for one, times in zip(self.patterns, self.times, strict=True))
        )


def krippendorff_alpha(units: Iterable[Sequence[Value]], level: Level) -> float | None:
    """Krippendorff's alpha of tasks with the labels of each; None where all labels say the same, or none is paired."""
    found = Units.of(units)
    return _number(_alpha(found, level)(found.times[None])[0]) if found.patterns else None


def alpha_with_interval(
    units: Iterable[Sequence[Value]], level: Level, *, draws: int = DRAWS, seed: int = SEED
) -> Estimated:
    """The same with its interval by a bootstrap over tasks."""
    found = Units.of(units)
    return _figure(found, _alpha(found, level), draws, seed) if found.patterns else Estimated()


def pairs_agreeing(
    units: Iterable[Sequence[Value]], *, draws: int = DRAWS, seed: int = SEED
) -> Estimated:
    """Of all pairs of labels of the same task the share that say the same, with its interval."""
    found = Units.of(units)
    pairs = np.array([len(one) * (len(one) - 1) / 2 for one in found.patterns])
    alike = np.array(
        [sum(n * (n - 1) / 2 for n in Counter(one).values()) for one in found.patterns]
    )

    def agreeing(times: Floats) -> Floats:
        part: Floats = (times @ alike) / (times @ pairs)
        return part

    return _figure(found, agreeing, draws, seed) if found.patterns else Estimated()


def _alpha(units: Units, level: Level) -> Callable[[Floats], Floats]:
    """Alpha by how often each pattern occurs: (draws, patterns) to (draws,); nan where nothing is expected."""
    strata: dict[int, list[int]] = {}
    for row, pattern in enumerate(units.patterns):
        size = len(_several(pattern[0])) if level == "ranking" else 0
        strata.setdefault(size, []).append(row)
    parts = [
        (rows, Distances([units.patterns[row] for row in rows], level)) for rows in strata.values()
    ]

    def found(times: Floats) -> Floats:
        each = [part.of(times[:, rows]) for rows, part in parts]
        observed, expected = (np.sum(one, axis=0) for one in zip(*each, strict=True))
        defined = expected > SMALLEST
        values: Floats = np.where(defined, 1 - observed / np.where(defined, expected, 1), np.nan)
        return values

    return found


def _figure(
    units: Units, statistic: Callable[[Floats], Floats], draws: int, seed: int
) -> Estimated:
    value = _number(statistic(units.times[None])[0])
    counts = {"tasks": units.tasks, "labels": units.labels}
    if value is None or units.tasks < FEWEST:
        return Estimated(value, **counts)
    drawn = np.concatenate(list(_drawn(units, statistic, draws, seed)))
    drawn = drawn[~np.isnan(drawn)]
    low, high = _accelerated(drawn, value, _skew(units, statistic)) if len(drawn) else (None, None)
    return Estimated(value, low, high, **counts)


def _drawn(
    units: Units, statistic: Callable[[Floats], Floats], draws: int, seed: int
) -> Iterator[Floats]:
    """The statistic of tasks drawn with replacement, some draws at a time."""
    chance = np.random.default_rng(seed)
    shares = units.times / units.times.sum()
    for size in _portions(draws, len(shares)):
        yield statistic(chance.multinomial(units.tasks, shares, size=size).astype(float))


def _portions(number: int, width: int) -> Iterator[int]:
    """So many rows in portions that memory holds at this width."""
    most = max(1, ROOM // max(width, 1))
    for start in range(0, number, most):
        yield min(most, number - start)


def _skew(units: Units, statistic: Callable[[Floats], Floats]) -> float:
    """The acceleration: how skewed the statistic is where each task in turn is left out."""
    number = len(units.patterns)
    if number > FEW:
        return 0.0
    parts, start = [], 0
    for size in _portions(number, number):
        without = np.repeat(units.times[None], size, axis=0)
        without[np.arange(size), start + np.arange(size)] -= 1
        parts.append(statistic(without))
        start += size
    left = np.concatenate(parts)
    left, times = left[~np.isnan(left)], units.times[~np.isnan(left)]
    if not len(left):
        return 0.0
    off = np.average(left, weights=times) - left
    spread = float((times * off**2).sum())
    return float((times * off**3).sum() / (6 * spread**1.5)) if spread > SMALLEST else 0.0


def _accelerated(drawn: Floats, value: float, skew: float) -> tuple[float, float]:
    """The ends of the interval among what was drawn."""
    normal = NormalDist()
    below = (np.sum(drawn < value) + np.sum(drawn == value) / 2) / len(drawn)
    bias = normal.inv_cdf(float(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    ends = []
    for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2):
        moved = bias + normal.inv_cdf(tail)
        ends.append(normal.cdf(bias + moved / (1 - skew * moved)))
    low, high = np.quantile(drawn, ends)
    return float(low), float(high)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def share(hits: float, number: int) -> Estimated:
    """A share with Wilson's interval (Wilson, JASA 22, 1927); `hits` may be a sum of shares, one a task."""
    if not number:
        return Estimated()
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    value, weight = hits / number, z * z / number
    middle = (value + weight / 2) / (1 + weight)
    half = z * sqrt(value * (1 - value) / number + weight / (4 * number)) / (1 + weight)
    return Estimated(value, max(0.0, middle - half), min(1.0, middle + half), number, number)


def verdict_value(verdict: str, level: Level) -> Value:
    """What a verdict says, as its level of measurement compares it.

    A ranking is `2>0=1`, the best first; a number or several stand in the order in which they are written. What does
    not read so is a name.
    """
    if level == "ranking" and RANKING.fullmatch(verdict):
        groups = [group.split("=") for group in verdict.split(">")]
        ranks = {int(place): rank for rank, group in enumerate(groups) for place in group}
        return tuple(float(ranks[place]) for place in sorted(ranks))
    if level in ("ordinal", "interval") and (numbers := NUMBER.findall(verdict)):
        return tuple(map(float, numbers))
    return verdict
