"""How well classes are told: accuracy, F1, the area under the ROC curve, calibration; with intervals.

Every figure takes a weight for each row, so that a bootstrap over groups of rows is another set of weights.
"""

import math
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from alignment.maths.estimators import CONFIDENCE
from alignment.seam.records import Estimate

BINS = 10  # of the probability of the class that is told
DRAWS = 400
Figure = Callable[[Tensor], float]  # of weights (n,); nan where it cannot be told


def confusion(said: Tensor, told: Tensor, classes: int, weights: Tensor) -> Tensor:
    """(classes, classes) weight of the rows by what was said (rows) and what was told (columns), in fp64."""
    flat = torch.zeros(classes * classes, dtype=torch.float64)
    return flat.index_add(0, said * classes + told, weights.double()).view(classes, classes)


def accuracy(table: Tensor) -> float:
    """The share of a confusion table on its diagonal."""
    return float(table.diagonal().sum() / table.sum())


def f1_by_class(table: Tensor) -> Tensor:
    """(classes,) F1 = 2 tp / (2 tp + fp + fn); nan for a class that was neither said nor told."""
    return 2 * table.diagonal() / (table.sum(0) + table.sum(1))


def macro_f1(table: Tensor) -> float:
    """The mean of F1 over the classes that were said or told."""
    return float(f1_by_class(table).nanmean())


def auc(scores: Tensor, positive: Tensor, weights: Tensor) -> float:
    """The chance that a positive row scores above a negative one, a tie counting half; nan without one of them.

    scores (n,), positive (n,) bool, weights (n,): Mann and Whitney's statistic.
    """
    order = scores.argsort()
    found, of = torch.unique_consecutive(scores[order], return_inverse=True)
    weights = weights.double()[order]
    sums = torch.zeros(2, len(found), dtype=torch.float64)
    sums[1].index_add_(0, of, weights * positive[order])
    sums[0].index_add_(0, of, weights * ~positive[order])
    negatives, positives = sums
    below = negatives.cumsum(0) - negatives
    pairs = negatives.sum() * positives.sum()
    return float((positives * (below + negatives / 2)).sum() / pairs) if pairs > 0 else math.nan


def macro_auc(probabilities: Tensor, said: Tensor, weights: Tensor) -> float:
    """AUC of two classes, of more the mean over those of one against the rest; classes nobody said are left out.

    probabilities (n, classes), said (n,).
    """
    classes = probabilities.shape[1]
    if classes == 2:
        return auc(probabilities[:, 1], said == 1, weights)
    each = [auc(probabilities[:, k], said == k, weights) for k in range(classes)]
    return float(torch.tensor(each, dtype=torch.float64).nanmean())


def calibration_error(probabilities: Tensor, said: Tensor, weights: Tensor) -> float:
    """ECE: how far the probability of the class that is told is from how often it was right.

    The mean over BINS equal bins of that probability, each by its share of the rows (Naeini et al., 2015).
    """
    sure, told = probabilities.double().max(1)
    bins = (sure * BINS).long().clamp(max=BINS - 1)
    off = weights.double() * (sure - (told == said).double())
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins, off)
    return float(gaps.abs().sum() / weights.sum())


def bootstrapped(
    figure: Figure, groups: Sequence[Hashable], generator: torch.Generator
) -> Estimate | None:
    """A figure of rows with its percentile interval over groups, drawn with replacement; None where it is nan.

    Draws in which it cannot be told say nothing; where most cannot, there is no interval.
    """
    places: dict[Hashable, int] = {}
    rows = torch.tensor([places.setdefault(group, len(places)) for group in groups])
    count = len(places)
    value = figure(torch.ones(len(rows)))
    if math.isnan(value):
        return None
    chance = torch.full((count,), 1 / count)
    draws = torch.tensor(
        [
            figure(chance.multinomial(count, replacement=True, generator=generator).bincount(minlength=count)[rows])
            for _ in range(DRAWS if count > 1 else 0)
        ],
        dtype=torch.float64,
    )  # fmt: skip
    known = draws[~draws.isnan()]
    if len(known) <= DRAWS / 2:
        return Estimate(value=value, low=None, high=None, n=count)
    tail = (1 - CONFIDENCE) / 2
    low, high = known.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=count)
