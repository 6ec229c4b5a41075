"""How well a reward model tells labels it was not fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from alignment.estimators import clipped, grouped_interval
from alignment.records import Estimate, PairRecord
from alignment.reward.examples import Example, scored
from alignment.reward.labels import pairs_in, texts_of
from alignment.reward.model import RewardModel
from alignment.reward.observation import Observation


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

    def accuracy(self) -> Estimate:
        """The share of the pairs that the model tells as people did."""
        return clipped(grouped_interval(self.right.tolist(), self.prompts))


def told(scores: Tensor, examples: Sequence[Example]) -> Told:
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


def standardised(model: RewardModel, examples: Sequence[Example]) -> RewardModel:
    """The model with mean 0 and deviation 1 on these completions: beta means the same everywhere."""
    with torch.no_grad():
        raw = scored(model, examples)
    scale = max(raw.mean(1).std().item(), 1e-6)
    return replace(model, center=tuple(raw.mean(0).tolist()), scale=scale)


@torch.no_grad()
def measures(
    model: RewardModel, observation: Observation, examples: Sequence[Example]
) -> dict[str, object]:
    """How held-out labels are told, with intervals over prompts."""
    scores = scored(model, examples)
    found = told(scores, examples)
    losses = observation.nll(scores, examples).mean(1)
    groups = [example.prompt_key for example in examples]
    nll = grouped_interval(losses.tolist(), groups, unit="nats")
    summary: dict[str, object] = {"nll_labels": nll.model_dump()}
    if found.pairs:
        nll = grouped_interval((-F.logsigmoid(found.margins)).tolist(), found.prompts, unit="nats")
        summary = {"accuracy": found.accuracy().model_dump(), "nll": nll.model_dump()} | summary
    if len(model.center) > 1:
        spread = model.standard(scores).std(1, correction=0)
        each = [example.prompt_key for example in examples for _ in example.texts]
        summary["disagreement"] = grouped_interval(spread.tolist(), each).model_dump()
    return summary
