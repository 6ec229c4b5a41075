"""One association of a linear layer changed, and all others as little as can be (ROME, Meng et al. 2022).

Of all matrices that answer a key k with a value v, W' = W + (v - W k) (C⁻¹ k)ᵀ / (kᵀ C⁻¹ k) moves what the layer
answers to other keys the least: it has the smallest E ‖(W' - W) k'‖² = tr (W' - W) C (W' - W)ᵀ, where C = E k' k'ᵀ.
That smallest is ‖v - W k‖² / (kᵀ C⁻¹ k).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Edit(NamedTuple):
    """A change of rank one of a weight (out, in): left · rightᵀ."""

    left: Tensor  # (out,) what is lacking
    right: Tensor  # (in,) which answers the key with 1

    @property
    def change(self) -> Tensor:
        """(out, in)."""
        return self.left[:, None] * self.right


def edit_of(weight: Tensor, key: Tensor, value: Tensor, moment: Tensor) -> Edit:
    """The change, in fp64, by which a weight (out, in) answers a key (in,) with a value (out,).

    `moment` (in, in) is that of the keys, positive definite.
    """
    key = key.double()
    direction = torch.cholesky_solve(key[:, None], torch.linalg.cholesky(moment.double()))[:, 0]
    left = value.double() - weight.double() @ key
    return Edit(left, direction / (key @ direction))


def disturbance(change: Tensor, moment: Tensor) -> float:
    """E ‖Δ k'‖² of a change Δ (out, in) over keys of this moment."""
    change = change.double()
    return ((change @ moment.double()) * change).sum().item()


def least_disturbance(lacking: Tensor, key: Tensor, moment: Tensor) -> float:
    """The least that any change disturbs which adds `lacking` (out,) to what a key (in,) is answered with."""
    key = key.double()
    direction = torch.linalg.solve(moment.double(), key)
    return float(lacking.double().square().sum() / (key @ direction))
