"""How long a run will take on a machine, before anybody waits for it.

Torch-free. What a machine does is measured there once (`Speed`); what a run reads is counted (`Extent`). A model of P
parameters computes 2 P operations for each token that it reads and, in each layer of width h, 4 n h more for one of n
tokens (Kaplan et al., "Scaling Laws for Neural Language Models", 2020, table 1); a backward takes twice a forward. On
top of that each block costs the time in which a machine begins it, which is most of what a small model takes, and
writing a token reads all weights once. A kind of run adds up what it reads, learns and writes (`Kind.seconds`).
Such a sum says how times grow with settings; what earlier runs of the kind took says how far it is off.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from alignment.seam.memory import FLOAT, SAMPLED_AT_ONCE, Shape

LETTERS = 4  # of a token, in usual texts
ASKED, ANSWERED = 24, 24  # tokens of a prompt and of an answer, where nobody knows
TAIL = 3  # times the mean length is that of a batch's longest answer
ROW_OVERHEAD = 6  # blocks' worth of choosing a token beside the layers
OPTIMIZER = 16 * FLOAT  # bytes that an update reads and writes for each parameter
READ_AT_ONCE = 64  # texts
# What masks, losses, hooks and the interpreter add to bare blocks, by runs of the demo: a factor of 0.9 to 1.4.
BESIDE = 1.15


class Speed(NamedTuple):
    """How fast a machine computes, by one block of a transformer that was computed there."""

    block: float  # seconds of one that reads a single token: what beginning it costs
    operations: float  # a second, of one that reads many tokens
    bandwidth: float  # bytes a second, of a copy
    start: float  # seconds until a trainer has loaded what runs need


class Extent(NamedTuple):
    """What a run would read: its model's shape, how much there is, and how long texts are, in tokens."""

    shape: Shape | None = None
    rows: int = 0  # labels, demonstrations or texts that are learned from
    prompts: int = 0
    asked: int = ASKED
    answered: int = ANSWERED
    tokens: int = 0  # of a file of texts


@dataclass(frozen=True)
class Timing:
    """Seconds of what runs consist of, for a machine and what a run reads; without a shape nobody knows any."""

    speed: Speed
    extent: Extent

    @property
    def shape(self) -> Shape:
        """Of the model; a kind that makes a new one says which."""
        assert self.extent.shape is not None
        return self.extent.shape

    @property
    def length(self) -> int:
        """Tokens of a prompt with its answer."""
        return min(self.extent.asked + self.extent.answered, self.shape.context)

    def of(self, shape: Shape) -> "Timing":
        """The same of another model."""
        return Timing(self.speed, self.extent._replace(shape=shape))

    def reading(self, rows: float, at_once: float = READ_AT_ONCE, length: int = 0) -> float:
        """So many texts are read, some at once."""
        length = length or self.length
        each = 2 * self.shape.parameters + 4 * self.shape.layers * self.shape.width * length
        begun = math.ceil(rows / at_once) * self.shape.layers * self.speed.block
        return BESIDE * (begun + rows * length * each / self.speed.operations)

    def learning(self, rows: float, batch: float, length: int = 0) -> float:
        """So many texts are learned from, in batches: forward, backward, and an update each."""
        updates = math.ceil(rows / batch)
        moved = updates * OPTIMIZER * self.shape.parameters / self.speed.bandwidth
        return 3 * self.reading(rows, batch, length) + moved

    def writing(
        self, prompts: float, copies: int, limit: int, at_once: int = SAMPLED_AT_ONCE
    ) -> float:
        """So many answers to each prompt are written, some prompts at once, token by token."""
        rows, answered = prompts * copies, min(self.extent.answered, limit)
        steps = math.ceil(prompts / at_once) * min(limit, TAIL * answered)
        begun = (self.shape.layers + ROW_OVERHEAD) * self.speed.block
        weights = FLOAT * self.shape.parameters / self.speed.bandwidth
        choosing = 2 * (FLOAT + 8) * self.shape.vocabulary / self.speed.bandwidth
        computed = rows * answered * (2 * self.shape.parameters / self.speed.operations + choosing)
        written = steps * (begun + weights) + computed
        return self.reading(prompts, at_once, self.extent.asked) + BESIDE * written
