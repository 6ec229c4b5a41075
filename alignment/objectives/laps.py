"""Which of many things a step works on: one seeded permutation of all of them after another."""

import torch

PRIME = 1_000_003  # seeds of neighbouring runs share no permutation within so many laps


def places_of_turn(turn: int, size: int, count: int, seed: int) -> list[int]:
    """Numbers below `count` of one turn; at most `size` of them, each once per lap."""
    size = min(size, count)
    first = turn * size
    orders = {
        lap: torch.randperm(
            count, generator=torch.Generator().manual_seed(seed * PRIME + lap)
        ).tolist()
        for lap in {first // count, (first + size - 1) // count}
    }
    return [orders[place // count][place % count] for place in range(first, first + size)]
