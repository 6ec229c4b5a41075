"""What a reader is, and what hides tokens from it."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from alignment.sampling.readers.maps import Map


class TokenReader(Protocol):
    """The weights of a model, and how they read tokens."""

    @property
    def dtype(self) -> torch.dtype:
        """In which precision it computes."""

    @property
    def layers(self) -> list[Map]:
        """The linear layers of its blocks."""

    def with_layers(self, change: Callable[[Map], Map]) -> "TokenReader":
        """The same, with the linear layers of its blocks changed in their order."""

    def read(
        self,
        ids: Tensor,
        positions: Tensor,
        hidden: Tensor | None = None,
        cache: DynamicCache | None = None,
        *,
        keep: int,
    ) -> Tensor:
        """Logits (rows, keep, vocab) behind the last tokens of each row.

        Args:
            ids: (rows, length) tokens.
            positions: (rows or 1, length) where they stand in their row, from 0.
            hidden: (rows, 1, length, cached + length) what attention adds to its scores: minus infinity
                where a token does not look; None where one that follows a cache looks everywhere.
            cache: what was read before, which these tokens are written to; without one, rows begin here.
                It keeps all that was read.
            keep: of how many tokens of a row, the last ones, logits are wanted.
        """


def hiding(seen: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """What attention adds to its scores (rows, 1, length, width): minus infinity where not to look.

    The last tokens, so many, look at themselves and at what is before them, but not where `seen`
    (rows, width) is 0.
    """
    width = seen.shape[1]
    upto = torch.ones(length, width, dtype=torch.bool, device=seen.device).tril(width - length)
    itself = upto.triu(width - length)  # so that padding looks somewhere, else it would be nan
    looks = upto & seen[:, None, None].bool() | itself
    zeros = torch.zeros(looks.shape, dtype=dtype, device=seen.device)
    return zeros.masked_fill_(~looks, -torch.inf)


def windowed(hidden: Tensor, window: int) -> Tensor:
    """The same (rows, 1, length, width), with what lies a window and more behind a token hidden too."""
    length, width = hidden.shape[-2:]
    everywhere = torch.ones(length, width, dtype=torch.bool, device=hidden.device)
    return hidden.masked_fill(everywhere.tril(width - length - window), -torch.inf)
