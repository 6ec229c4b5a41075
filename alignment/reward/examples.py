"""Labels as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from alignment.reward.model import RewardModel
from alignment.seam.errors import DataError
from alignment.seam.records import LabelRecord, texts_of
from alignment.seam.words import _

SHOWN = 60  # characters of a prompt that does not fit


@dataclass(frozen=True)
class Example:
    """A label with its completions as token ids, prompts included, in the order of `texts_of`."""

    label: LabelRecord
    texts: tuple[list[int], ...]

    @property
    def prompt_key(self) -> str:
        """Identifies the prompt."""
        return self.label.prompt.key

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return max(map(len, self.texts))


def examples_of(model: RewardModel, labels: Sequence[LabelRecord]) -> list[Example]:
    """Each label as the model reads it; raises DataError where one does not fit: see `overlong`."""
    examples = []
    for label in labels:
        read = [model.read(label.prompt.messages, text) for text in texts_of(label)]
        if any(cut for _, cut in read):
            raise DataError(
                _(
                    "A label has more tokens than the {context_length:,} that the reward model reads; "
                    "its prompt ends with “{text}”."
                ).format(context_length=model.context_length, text=label.prompt.text[-SHOWN:])
            )
        examples.append(Example(label, tuple(ids for ids, _ in read)))
    return examples


def scored(model: RewardModel, examples: Sequence[Example]) -> Tensor:
    """(texts, heads) raw scores of all completions of the labels, one label after another."""
    return model.raw([ids for example in examples for ids in example.texts])
