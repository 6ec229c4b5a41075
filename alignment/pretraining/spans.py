"""Span corruption for encoder-decoders: spans of a text are cut out, a mark in the place of each; they are told in turn.

Raffel et al., 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", section 3.1.4:
the encoder reads the text with marks, the decoder writes each mark with what it stands for, then one more mark.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

NAME = "<extra_id_{}>"  # of the marks, as T5's tokenizers call them
MOST, FEWEST = 100, 8  # marks


class Spans(NamedTuple):
    """Which share of the tokens is cut out, in spans of what mean length."""

    share: float
    length: float


class Corrupted(NamedTuple):
    """What an encoder reads (n,) and a decoder writes (m,)."""

    seen: Tensor
    told: Tensor


def marks_for(context: int) -> int:
    """How many marks a text of so many tokens needs."""
    return min(MOST, max(FEWEST, context // 16))


def parts_of(total: int, count: int, generator: torch.Generator) -> list[int]:
    """A number as the sum of so many, each at least 1; every such sum is as likely."""
    cuts = torch.randperm(total - 1, generator=generator)[: count - 1].sort().values + 1
    places = [0, *cuts.tolist(), total]
    return [after - before for before, after in pairwise(places)]


def span_mask(size: int, spans: Spans, generator: torch.Generator) -> Tensor:
    """(size,) bool: the tokens that are cut out, a share of all and one at least, in spans of this mean length.

    Kept and cut parts alternate, and a text may begin and end with either; one of a single token is cut out.
    """
    if size < 2:
        return torch.ones(size, dtype=torch.bool)
    cut = min(max(1, round(spans.share * size)), size - 1)
    count = min(max(1, round(cut / spans.length)), cut, size - cut)
    gone = parts_of(cut, count, generator)
    kept = parts_of(size - cut + 2, count + 1, generator)  # at either end one more than there is
    mask, place = torch.zeros(size, dtype=torch.bool), -1
    for before, span in zip(kept, gone, strict=False):
        mask[place + before : place + before + span] = True
        place += before + span
    return mask


def first_spans(gone: Tensor, most: int) -> Tensor:
    """A mask (n,) without the spans that come after so many."""
    before = torch.cat([gone.new_zeros(1), gone[:-1]])
    return gone & ((gone & ~before).cumsum(0) <= most)


def corrupt(ids: Tensor, gone: Tensor, marks: Sequence[int], end: int) -> Corrupted:
    """A text (n,) without the tokens that are `gone` (n,) bool; raises ValueError where there are too few marks."""
    seen, told = list[int](), list[int]()
    spans = 0
    for place, (token, cut) in enumerate(zip(ids.tolist(), gone.tolist(), strict=True)):
        if not cut:
            seen.append(token)
            continue
        if place == 0 or not gone[place - 1]:
            seen.append(marks[spans])
            told.append(marks[spans])
            spans += 1
        told.append(token)
    if spans >= len(marks):
        raise ValueError(f"{spans} spans need {spans + 1} marks, and there are {len(marks)}.")
    return Corrupted(torch.tensor(seen), torch.tensor([*told, marks[spans], end]))


def restored(corrupted: Corrupted, marks: Sequence[int]) -> list[int]:
    """The inverse of `corrupt`."""
    known = set(marks)
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in corrupted.told.tolist()[:-1]:
        if token in known:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    return [part for token in corrupted.seen.tolist() for part in spans.get(token, [token])]
