"""The learning rate of every training, as a share of its peak: up, level, down. Torch-free."""

import math
from typing import Literal

Shape = Literal["linear", "cosine"]


def share_of_peak(
    step: int,
    total: int,
    *,
    rising: int,
    falling: int,
    shape: Shape = "linear",
    least: float = 0.0,
) -> float:
    """The share at a step, counted from 0, of so many.

    It rises over the first `rising` steps, and falls to `least` over the last `falling`; 0 of either
    leaves that out. The last step is one before the end of the fall: it still moves.
    """
    risen = min(1.0, (step + 1) / max(1, rising))
    left = min(1.0, (total - step) / falling) if falling else 1.0
    if shape == "cosine":
        left = 0.5 * (1 - math.cos(math.pi * left))
    return min(risen, least + (1 - least) * left)
