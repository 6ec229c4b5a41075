"""Which comparisons would teach a reward model most: expected information, of one and of many together.

A preference between two answers follows Bradley and Terry: P(the first is better) = sigma(m), where the margin m is
the difference of their rewards in nats. An ensemble has a margin of each head, so margins are (n, heads).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from alignment.maths.designs import d_optimal


def preference_entropy(margins: Tensor) -> Tensor:
    """Nats that a preference of such a margin tells, of any shape: -p log p - (1 - p) log(1 - p), p = sigma(m)."""
    first = margins.sigmoid()
    return first * F.softplus(-margins) + (1 - first) * F.softplus(margins)


def preference_information(margins: Tensor) -> Tensor:
    """(n,) nats that a preference is expected to tell of which head is right, from margins (n, heads).

    H(mean p) - mean H(p), the mutual information of answer and head: “BALD” (Houlsby, Huszár, Ghahramani and
    Lengyel 2011, equation 2). 0 where the heads agree, however unsure they are; log 2 at most.
    """
    first = margins.double().sigmoid().mean(1)
    whole = -torch.xlogy(first, first) - torch.xlogy(1 - first, 1 - first)
    return (whole - preference_entropy(margins.double()).mean(1)).clamp(min=0)


def ensemble_order(margins: Tensor, size: int) -> list[int]:
    """So many rows of margins (n, heads) that together tell most about the heads, each next one what it adds most.

    To second order, a preference measures its margin with the precision w = mean p (1 - p), Fisher's information,
    and over the heads margins vary as a Gaussian of covariance C: together they tell
    1/2 log det(I + sqrt(w) C sqrt(w)). With d (n, heads) the heads' distances from their mean, C = d d^T / (heads - 1),
    so that is 1/2 log det(I + sum x x^T) of x = d sqrt(w / (heads - 1)) by Sylvester's identity: a D-optimal design.
    Two comparisons about which the same heads differ in the same way tell one thing only, and so do copies.
    """
    margins = margins.double()
    apart = margins - margins.mean(1, keepdim=True)
    points = apart * (precision(margins) / max(1, margins.shape[1] - 1)).sqrt()[:, None]
    return d_optimal(points, size, ridge=1.0)


def design_order(
    contrasts: Tensor, margins: Tensor, size: int, known: tuple[Tensor, Tensor]
) -> list[int]:
    """So many rows that tell most of a linear head's weights, beside what `known` comparisons have told already.

    contrasts (n, width) are what the head is told by each: the first answer's features less the second's;
    `known` are such contrasts and margins. Locally D-optimal: Fisher's information of a preference is
    p (1 - p) x x^T, so each counts by what its outcome is open.
    """
    points, there = (x * precision(m)[:, None].sqrt() for x, m in ((contrasts, margins), known))
    return d_optimal(points, size, known=there)


def precision(margins: Tensor) -> Tensor:
    """(n,) Fisher's information p (1 - p) of a preference about its margin, the mean over margins (n, heads)."""
    first = margins.double().sigmoid()
    return (first * (1 - first)).mean(1)
