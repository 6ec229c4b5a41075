"""The classes of answers, as a classifier tells them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from alignment.classification.model import Classifier
from alignment.maths.estimators import clipped, grouped_interval
from alignment.seam.records import Estimate, PromptRecord

MOST = 12  # classes that are told of many


@dataclass
class ClassShares:
    """What a classifier says of each side's answers: the probabilities of its classes, an answer a row."""

    classifier: Classifier
    rows: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))
    keys: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def take(
        self, side: str, prompts: Sequence[PromptRecord], texts: Sequence[Sequence[str]]
    ) -> None:
        """What one side answers to some prompts, several answers each."""
        asked = [prompt for prompt, row in zip(prompts, texts, strict=True) for _ in row]
        answers = [text for row in texts for text in row]
        found = self.classifier.of_texts([prompt.messages for prompt in asked], answers)
        self.rows[side] += found.tolist()
        self.keys[side] += [prompt.key for prompt in asked]

    def told(self, _seed: int) -> dict[str, object]:
        """The mean probability of each class on every side, and its change, with intervals over prompts."""
        columns = {side: list(zip(*rows, strict=True)) for side, rows in self.rows.items()}
        weights = [sum(column) for column in columns["after"]]
        shown = sorted(range(len(weights)), key=lambda place: -weights[place])[:MOST]
        found: dict[str, Estimate] = {}
        for place in sorted(shown):
            name = self.classifier.classes[place]
            for side, numbers in columns.items():
                one = grouped_interval(numbers[place], self.keys[side])
                found[f"class_{name}_{side}"] = clipped(one)
            pairs = zip(columns["before"][place], columns["after"][place], strict=True)
            change = [after - before for before, after in pairs]
            found[f"class_{name}_gain"] = grouped_interval(change, self.keys["after"])
        return {name: one.model_dump() for name, one in found.items()}
