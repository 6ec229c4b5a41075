"""Labels as token ids, and the margins of rewards that a model gives them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from alignment.records import PairRecord
from alignment.reward.model import RewardModel


@dataclass(frozen=True)
class Example:
    """A pair as token ids, prompts included."""

    prompt_key: str
    chosen: list[int]
    rejected: list[int]
    cut: bool  # one of the two did not fit the context

    @property
    def length(self) -> int:
        """Tokens of the longer sequence."""
        return max(len(self.chosen), len(self.rejected))


def examples_of(model: RewardModel, pairs: Sequence[PairRecord]) -> list[Example]:
    """Each pair as the model reads it."""
    examples = []
    for pair in pairs:
        chosen, chosen_cut = model.read(pair.prompt.messages, pair.chosen)
        rejected, rejected_cut = model.read(pair.prompt.messages, pair.rejected)
        examples.append(Example(pair.prompt.key, chosen, rejected, chosen_cut or rejected_cut))
    return examples


def margins(model: RewardModel, batch: Sequence[Example]) -> Tensor:
    """(pairs,) r(chosen) - r(rejected) in nats: the log-odds of the label."""
    scores = model.raw([e.chosen for e in batch] + [e.rejected for e in batch])
    chosen, rejected = scores.chunk(2)
    return chosen - rejected
