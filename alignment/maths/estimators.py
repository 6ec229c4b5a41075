"""Estimates from weighted samples, with intervals whose unit is the prompt, never the sample."""

import math
from collections.abc import Hashable, Mapping, Sequence

import torch
from scipy.special import stdtrit
from torch import Tensor

from alignment.seam.records import Estimate

CONFIDENCE = 0.95
FEWEST_TAIL = 5  # values that a Pareto law is fitted to
PRIOR_VALUES = 10  # that its prior counts as


class ZCache:
    """log Z of every prompt, from all log-weights (log P - log q) seen of it; a streaming mean in fp64.

    Samples of any proposal q count alike, as E_q[P/q] = Z for each.
    """

    def __init__(self, state: Mapping[str, Sequence[float]] | None = None) -> None:
        self._sums = {
            key: (float(total), int(count)) for key, (total, count) in (state or {}).items()
        }

    def update(self, key: str, log_weights: Tensor) -> None:
        """Add the log-weights (n,) of one prompt's samples."""
        total, count = self._sums.get(key, (-math.inf, 0))
        added = log_weights.to(torch.float64).logsumexp(0).item()
        self._sums[key] = (_logaddexp(total, added), count + len(log_weights))

    def log_z(self, key: str) -> float:
        """The estimate, -inf where nothing with P > 0 was seen."""
        total, count = self._sums.get(key, (-math.inf, 1))
        return total - math.log(count)

    def state_dict(self) -> dict[str, list[float]]:
        """A JSON form that restores the same numbers."""
        return {key: [total, count] for key, (total, count) in self._sums.items()}


def estimate(means: Sequence[float], unit: str = "") -> Estimate:
    """The mean over prompts with its t interval; `means` holds one number per prompt."""
    values = torch.tensor(list(means), dtype=torch.float64)
    count = len(values)
    value = values.mean().item()
    if count < 2:
        return Estimate(value=value, low=None, high=None, n=count, unit=unit)
    error = values.std().item() / math.sqrt(count)
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
    return Estimate(value=value, low=value - half, high=value + half, n=count, unit=unit)


def grouped_interval(
    values: Sequence[float], groups: Sequence[Hashable], unit: str = ""
) -> Estimate:
    """The mean over groups (prompts) of each group's mean, with its t interval over groups."""
    members: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    return estimate([sum(row) / len(row) for row in members.values()], unit)


def ratio_interval(sums: Sequence[float], counts: Sequence[float], unit: str = "") -> Estimate:
    """Sum of sums by sum of counts over groups (documents), with the t interval of its linearisation.

    Raises ZeroDivisionError where nothing was counted.
    """
    n, total = len(sums), sum(counts)
    value = sum(sums) / total
    if n < 2:
        return Estimate(value=value, low=None, high=None, n=n, unit=unit)
    squares = [(one - value * count) ** 2 for one, count in zip(sums, counts, strict=True)]
    error = math.sqrt(n / (n - 1) * sum(squares)) / total
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    return Estimate(value=value, low=value - half, high=value + half, n=n, unit=unit)


def clipped(share: Estimate) -> Estimate:
    """A share with its interval cut to what a share can be: it covers as often as before."""
    if share.low is None or share.high is None:
        return share
    return share.model_copy(update={"low": max(0.0, share.low), "high": min(1.0, share.high)})


def paired_estimate(before: Sequence[float], after: Sequence[float], unit: str = "") -> Estimate:
    """The mean difference after - before over prompts, with its paired t interval."""
    return estimate([b - a for a, b in zip(before, after, strict=True)], unit)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """log of the mean weight over the last dimension: log Z from log P - log q."""
    return log_weights.logsumexp(-1) - math.log(log_weights.shape[-1])


def ess_fraction(log_weights: Tensor) -> Tensor:
    """(sum w)^2 / (n sum w^2) over the last dimension, in (0, 1]; 0 where all weights are 0."""
    effective = 2 * log_weights.logsumexp(-1) - (2 * log_weights).logsumexp(-1)
    return torch.nan_to_num(effective.exp() / log_weights.shape[-1])


def pareto_shape(log_weights: Tensor) -> float:
    """How heavy the tail of some weights (n,) is: k of the generalised Pareto law of the largest ones.

    Above 0.7 a mean of so many weights cannot be trusted (Vehtari et al., 2024, "Pareto smoothed importance
    sampling"). The fit is Zhang and Stephens' (2009), with the prior of ten values at 1/2 of the former;
    the tail holds min(n / 5, 3 sqrt(n)) of the values that are not 0. 0 where these are all alike; nan for
    fewer than five.
    """
    values = log_weights.double()[log_weights > -math.inf].sort().values
    count = len(values)
    size = math.ceil(min(count / 5, 3 * math.sqrt(count)))
    if size < FEWEST_TAIL:
        return math.nan
    weights = (values - values[-1]).exp()
    tail = weights[-size:] - weights[-size - 1]
    quartile = tail[max(0, int(size / 4 + 0.5) - 1)]
    if quartile <= 0:
        return 0.0
    grid = 30 + int(math.sqrt(size))
    steps = torch.arange(1, grid + 1, dtype=torch.float64) - 0.5
    rates = 1 / tail[-1] + (1 - (grid / steps).sqrt()) / (3 * quartile)
    shapes = torch.log1p(-rates[:, None] * tail).mean(1)
    likelihoods = size * ((-rates / shapes).log() - shapes - 1)
    rate = rates @ likelihoods.softmax(0)
    shape = torch.log1p(-rate * tail).mean().item()
    return (size * shape + PRIOR_VALUES * 0.5) / (size + PRIOR_VALUES)


def _logaddexp(a: float, b: float) -> float:
    high = max(a, b)
    return high if high == -math.inf else high + math.log(math.exp(a - high) + math.exp(b - high))
