"""Matrices of eight-bit whole numbers: one scale a row, and a zero point where a row's range lies off zero.

    symmetric    scale = max |w| / 127                      w' = scale q             q in [-127, 127]
    asymmetric   scale = (max(w, 0) - min(w, 0)) / 255      w' = scale (q - zero)    q in [-128, 127]

A row is an output channel of a layer, or a token of an embedding. Every weight is within half a scale of what
is kept of it, in both schemes: a range that holds 0 is cut nowhere by more.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SYMMETRIC, LOWEST, HIGHEST = 127, -128, 127
SMALLEST = 1e-12  # scale of a row of zeros


class Int8(NamedTuple):
    """A matrix as it is kept; `zeros` is None where the scheme is symmetric."""

    values: Tensor  # (rows, columns) int8
    scales: Tensor  # (rows,) fp32
    zeros: Tensor | None = None  # (rows,) int8

    @property
    def weight(self) -> Tensor:
        """(rows, columns) the numbers that it stands for, in fp32."""
        whole = self.values.to(torch.float32)
        if self.zeros is not None:
            whole = whole - self.zeros.to(torch.float32)[:, None]
        return whole * self.scales[:, None]


def to_int8(weight: Tensor, *, symmetric: bool = True) -> Int8:
    """A weight (rows, columns) in eight bits."""
    weight = weight.detach().float()
    if symmetric:
        scales = (weight.abs().amax(1) / SYMMETRIC).clamp(min=SMALLEST)
        return Int8((weight / scales[:, None]).round().to(torch.int8), scales)
    low, high = weight.amin(1).clamp(max=0), weight.amax(1).clamp(min=0)
    scales = ((high - low) / (HIGHEST - LOWEST)).clamp(min=SMALLEST)
    zeros = (LOWEST - low / scales).round().clamp(LOWEST, HIGHEST)
    values = ((weight / scales[:, None]).round() + zeros[:, None]).clamp(LOWEST, HIGHEST)
    return Int8(values.to(torch.int8), scales, zeros.to(torch.int8))


def rounded(weight: Tensor) -> Tensor:
    """A weight (rows, columns) as it comes back from eight bits, symmetric."""
    return to_int8(weight).weight.to(weight.dtype)


def worst_error(weight: Tensor, kept: Int8) -> float:
    """The largest distance of a weight from what is kept of it, in scales: at most a half."""
    return ((weight.detach().float() - kept.weight).abs() / kept.scales[:, None]).max().item()
