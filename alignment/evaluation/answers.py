"""Answers that are known, beside those that models give."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from alignment.maths.classification import bootstrapped
from alignment.maths.estimators import clipped, grouped_interval
from alignment.maths.overlap import BleuCounts, chrf, exact_match, token_f1
from alignment.seam.errors import DataError
from alignment.seam.records import Estimate, PromptRecord, StoredRecord, read_jsonl
from alignment.seam.words import _

FIGURES = {"exact_match": exact_match, "token_f1": token_f1, "chrf": chrf}
SHARES = ("exact_match", "token_f1")
Sides = Mapping[str, Sequence[float]]


@dataclass
class KnownAnswers:
    """Known answers by prompt, and how near each side's come to them: a number for each answer, by figure and side."""

    known: Mapping[str, Sequence[str]]
    numbers: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {name: defaultdict(list) for name in FIGURES}
    )
    texts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    keys: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def read(cls, path: Path, prompts: Sequence[PromptRecord]) -> "KnownAnswers":
        """Those of a file that answer one of the prompts; raises DataError where none does."""
        asked = {prompt.key for prompt in prompts}
        found: dict[str, list[str]] = defaultdict(list)
        for row in read_jsonl(path, StoredRecord):
            if row.prompt.key in asked and row.completion not in found[row.prompt.key]:
                found[row.prompt.key].append(row.completion)
        known = {key: texts for key, texts in found.items() if texts}
        if not known:
            raise DataError(
                _(
                    "None of the {n:,} prompts has a known answer; give answers to held-out prompts, or measure "
                    "without them."
                ).format(n=len(prompts))
            )
        return cls(known)

    def take(
        self, side: str, prompts: Sequence[PromptRecord], texts: Sequence[Sequence[str]]
    ) -> None:
        """What one side answers to some prompts, several answers each."""
        for prompt, answers in zip(prompts, texts, strict=True):
            known = self.known.get(prompt.key, ())
            for text in answers if known else ():
                for name, figure in FIGURES.items():
                    self.numbers[name][side].append(figure(text, known))
                self.texts[side].append(text)
                self.keys[side].append(prompt.key)

    def told(self, seed: int) -> dict[str, object]:
        """Every figure of every side, and what each gained from before to after, with intervals over prompts."""
        found: dict[str, Estimate] = {}
        for name, sides in self.numbers.items():
            for side, numbers in sides.items():
                one = grouped_interval(numbers, self.keys[side])
                found[f"{name}_{side}"] = clipped(one) if name in SHARES else one
            found[f"{name}_gain"] = self.gained(sides)
        told = {name: one.model_dump() for name, one in (found | self.bleu(seed)).items()}
        return told | {"prompts_known": len(self.known)}

    def gained(self, sides: Sides) -> Estimate:
        """The change from before to after; both sides give each prompt as many answers."""
        pairs = zip(sides["before"], sides["after"], strict=True)
        return grouped_interval([after - before for before, after in pairs], self.keys["after"])

    def bleu(self, seed: int) -> dict[str, Estimate]:
        """BLEU of each side's corpus and its gain, whose intervals a bootstrap over prompts gives."""
        counts = {
            side: BleuCounts.of(texts, [self.known[key] for key in self.keys[side]])
            for side, texts in self.texts.items()
        }
        generator = torch.Generator().manual_seed(seed)

        def gain(weights: Tensor) -> float:
            return counts["after"].score(weights) - counts["before"].score(weights)

        figures = {f"bleu_{side}": one.score for side, one in counts.items()} | {"bleu_gain": gain}
        found = {
            name: bootstrapped(figure, self.keys["after"], generator)
            for name, figure in figures.items()
        }
        return {name: one for name, one in found.items() if one is not None}
