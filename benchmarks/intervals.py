"""Ratios with 95 % intervals."""

import math
from collections.abc import Sequence

import numpy as np

from alignment.maths.estimators import estimate

DRAWS = 10_000  # of a bootstrap


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """The medians' ratio of times measured in turn; the bootstrap draws turns, so pairs stay pairs."""
    one, other = np.array(above), np.array(below)
    turns = np.random.default_rng(0).integers(len(one), size=(DRAWS, len(one)))
    ratios = np.median(one[turns], 1) / np.median(other[turns], 1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {
        "value": float(np.median(one) / np.median(other)),
        "low": float(low),
        "high": float(high),
    }


def geometric_ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float | None]:
    """The geometric mean of paired ratios, with the t interval of their logarithms."""
    found = estimate([math.log(a / b) for a, b in zip(above, below, strict=True)])
    parts = {"value": found.value, "low": found.low, "high": found.high}
    return {name: None if part is None else math.exp(part) for name, part in parts.items()}
