"""How well a reward model tells labels it was not fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from alignment.maths.estimators import clipped, grouped_interval
from alignment.reward.examples import Example, scored
from alignment.reward.labels import pairs_in
from alignment.reward.model import RewardModel
from alignment.reward.observation import Observation
from alignment.seam.records import Estimate, PairRecord, texts_of


@dataclass(frozen=True)
class Told:
    """Preferences among held-out labels, and how surely the model tells them."""

    pairs: list[PairRecord]
    margins: Tensor  # (pairs,) r(chosen) - r(rejected) in nats, the mean over heads, fp64
    lengths: list[tuple[int, int]]  # tokens of chosen and of rejected, prompts included

    @property
    def prompts(self) -> list[str]:
        """The prompt of each, the unit of every interval."""
        return [pair.prompt.key for pair in self.pairs]

    @property
    def right(self) -> Tensor:
        """(pairs,) 1 where the model agrees, a half where it cannot tell."""
        return (self.margins > 0).double() + 0.5 * (self.margins == 0).double()

    def accuracy(self, rows: Sequence[int] | None = None) -> Estimate:
        """The share of the pairs, or of some of them, that the model tells as people did."""
        right, prompts = self.right.tolist(), self.prompts
        rows = range(len(right)) if rows is None else rows
        told = [right[row] for row in rows], [prompts[row] for row in rows]
        return clipped(grouped_interval(*told))

    def some(self, rows: Sequence[int]) -> "Told":
        """Those of these numbers."""
        pairs, lengths = [self.pairs[row] for row in rows], [self.lengths[row] for row in rows]
        return Told(pairs, self.margins[list(rows)], lengths)

    def nll(self) -> Estimate:
        """How many nats a pair costs by Bradley and Terry's model."""
        losses = -F.logsigmoid(self.margins)
        return grouped_interval(losses.tolist(), self.prompts, unit="nats")


def preferences_told(scores: Tensor, examples: Sequence[Example]) -> Told:
    """The preferences among labels, from scores (texts, heads) of their completions in order."""
    rewards = iter(scores.mean(1).double().tolist())
    pairs, margins, lengths = [], [], []
    for example in examples:
        known = {
            text: (next(rewards), len(ids))
            for text, ids in zip(texts_of(example.label), example.texts, strict=True)
        }
        for pair in pairs_in([example.label]):
            (chosen, long), (rejected, other) = known[pair.chosen], known[pair.rejected]
            pairs.append(pair)
            margins.append(chosen - rejected)
            lengths.append((long, other))
    return Told(pairs, torch.tensor(margins, dtype=torch.float64), lengths)


def together(parts: Sequence[Told]) -> Told:
    """What several models told, each of labels of its own."""
    return Told(
        [pair for part in parts for pair in part.pairs],
        torch.cat([torch.zeros(0, dtype=torch.float64), *(part.margins for part in parts)]),
        [both for part in parts for both in part.lengths],
    )


@torch.no_grad()
def measures(
    model: RewardModel, observation: Observation, examples: Sequence[Example]
) -> tuple[Told, dict[str, object]]:
    """How held-out labels are told, and that in numbers with intervals over prompts; nothing where there are none."""
    if not examples:
        return together([]), {}
    scores = scored(model, examples)
    found = preferences_told(scores, examples)
    summary: dict[str, object] = {}
    if found.pairs:
        summary |= {"accuracy": found.accuracy().model_dump(), "nll": found.nll().model_dump()}
    losses = observation.nll(scores, examples).mean(1)
    groups = [example.prompt_key for example in examples]
    summary["nll_labels"] = grouped_interval(losses.tolist(), groups, unit="nats").model_dump()
    if len(model.center) > 1:
        spread = model.standard(scores).std(1, correction=0)
        each = [example.prompt_key for example in examples for _ in example.texts]
        summary["disagreement"] = grouped_interval(spread.tolist(), each).model_dump()
    return found, summary
