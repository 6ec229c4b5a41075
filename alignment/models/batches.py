"""Batches of examples of similar length: less padding, the same randomness."""

from collections.abc import Sequence

import torch

POOL = 16  # batches that are sorted together


def similar_lengths(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Every index once, in random batches whose examples are about as long; uses torch's RNG."""
    order = torch.randperm(len(lengths)).tolist()
    batches: list[list[int]] = []
    for start in range(0, len(order), POOL * size):
        pool = sorted(order[start : start + POOL * size], key=lengths.__getitem__)
        batches += [pool[i : i + size] for i in range(0, len(pool), size)]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]
