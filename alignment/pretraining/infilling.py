"""Infilling for causal models: a document's middle is written last, behind what stands before and after it.

Bavarian et al., 2022, "Efficient Training of Language Models to Fill in the Middle": <prefix> before <suffix>
after <middle> middle. The model learns every token of it as any other text, so it still writes from left to right.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NAMES = ("<|prefix|>", "<|suffix|>", "<|middle|>")


class Marks(NamedTuple):
    """The three tokens that say what follows."""

    prefix: int
    suffix: int
    middle: int


class Parted(NamedTuple):
    """A text in three, in the order in which they stand in it."""

    before: list[int]
    middle: list[int]
    after: list[int]


def infilled(parted: Parted, marks: Marks) -> list[int]:
    """The tokens as the model reads them, the middle last."""
    before, middle, after = parted
    return [marks.prefix, *before, marks.suffix, *after, marks.middle, *middle]


def parted_again(ids: Sequence[int], marks: Marks) -> Parted:
    """The inverse of `infilled`; raises ValueError where a mark is missing."""
    places = [list(ids).index(mark) for mark in marks]
    prefix, suffix, middle = places
    return Parted(
        list(ids[prefix + 1 : suffix]), list(ids[middle + 1 :]), list(ids[suffix + 1 : middle])
    )


def cut(ids: Sequence[int], generator: torch.Generator) -> Parted:
    """A text cut at two places, any pair of which is as likely; the middle is never empty where there is a token."""
    count = len(ids)
    places = torch.randperm(count + 1, generator=generator)[:2].sort().values.tolist()
    first, last = places if count else (0, 0)
    return Parted(list(ids[:first]), list(ids[first:last]), list(ids[last:]))


def infill_row(
    row: Tensor, end: int, marks: Marks, share: float, generator: torch.Generator
) -> Tensor:
    """A row (length,) of documents between end tokens, this share of which are infilled, each by itself."""
    found: list[int] = []
    piece: list[int] = []
    for token in [*row.tolist(), None]:
        if token is not None and token != end:
            piece.append(token)
            continue
        if piece and torch.rand((), generator=generator) < share:
            piece = infilled(cut(piece, generator), marks)
        found += piece if token is None else [*piece, end]
        piece = []
    return torch.tensor(found)
