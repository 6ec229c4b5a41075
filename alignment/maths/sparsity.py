"""Which weights of a matrix go: those of the smallest score, so many of each group, exactly.

Scores (out, in) are |w|, or |w| times the norm of the input that it is multiplied with (Sun et al., 2024, "A simple and
effective pruning approach for large language models", equation 1). For inputs that are uncorrelated the latter
leaves the smallest error of the outputs that so many weights of a row can.
"""

import torch
from torch import Tensor

FOUR, KEPT_OF_FOUR = 4, 2


def scores_of(weight: Tensor, norms: Tensor | None = None) -> Tensor:
    """(out, in) how much each weight counts; `norms` (in,) are those of the inputs over all tokens."""
    found = weight.detach().abs().float()
    return found if norms is None else found * norms


def smallest_of_rows(scores: Tensor, share: float) -> Tensor:
    """(out, in) bool: the share of each row's weights that go."""
    count = round(share * scores.shape[1])
    places = scores.argsort(dim=1, stable=True)[:, :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, places, value=True)


def smallest_of_all(scores: Tensor, share: float) -> Tensor:
    """(out, in) bool: the share of the whole matrix's weights that go."""
    return smallest_of_rows(scores.reshape(1, -1), share).view_as(scores)


def two_of_four(scores: Tensor) -> Tensor:
    """(out, in) bool: of four weights of a row that follow each other the two that go; `in` is a multiple of 4."""
    assert scores.shape[1] % FOUR == 0
    groups = scores.reshape(-1, FOUR)
    return smallest_of_rows(groups, 1 - KEPT_OF_FOUR / FOUR).view_as(scores)
