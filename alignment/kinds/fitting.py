"""What a fit to rows that are there already takes: its epochs, its looks at what is held out, its measures."""

import math
from typing import Protocol

from alignment.seam.timing import Timing


class FitSettings(Protocol):
    """Settings of such a fit."""

    @property
    def epochs(self) -> int:
        """Passes over the rows."""

    @property
    def batch(self) -> int:
        """Rows of a step."""

    @property
    def held_out(self) -> float:
        """The share of the rows that only measure."""

    @property
    def token_bound(self) -> int:
        """After how many tokens it ends; 0: after any number."""


def share_apart(config: FitSettings) -> float:
    """The share of the prompts that is not learned from: none where examples of their own measure."""
    return 0.0 if getattr(config, "evaluate_on", "share") == "own" else config.held_out


def fit_seconds(config: FitSettings, timing: Timing, texts: int = 1) -> float:
    """Seconds of a fit to the rows of an extent, of so many texts each, until its end or its bound of tokens.

    What ends it because nothing more is gained, nobody knows before. Of rows given to measure by there are as many as
    would be held out.
    """
    held = timing.extent.rows * config.held_out
    rows = config.epochs * timing.extent.rows * (1 - share_apart(config))
    if config.token_bound:
        rows = min(rows, config.token_bound / (texts * timing.length))
    every = getattr(config, "evaluate_every", 0)
    looks = math.ceil(rows / config.batch / every) if every else 0
    learned = timing.learning(texts * rows, texts * config.batch)
    return learned + (looks + 1) * timing.reading(texts * held)
