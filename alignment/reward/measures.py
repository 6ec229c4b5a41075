"""How well a reward model tells labels it was not fitted to."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from alignment.estimators import clipped, grouped_interval
from alignment.reward.examples import Example, margins
from alignment.reward.model import SCORED_AT_ONCE, RewardModel


def standardised(model: RewardModel, examples: Sequence[Example]) -> RewardModel:
    """The model with mean 0 and deviation 1 on these completions: beta means the same everywhere."""
    scores = model.score_ids([ids for e in examples for ids in (e.chosen, e.rejected)])
    return replace(model, center=scores.mean().item(), scale=max(scores.std().item(), 1e-6))


@torch.no_grad()
def measures(model: RewardModel, examples: Sequence[Example]) -> dict[str, object]:
    """Accuracy and negative log-likelihood of held-out labels, with intervals over prompts."""
    starts = range(0, len(examples), SCORED_AT_ONCE)
    found = torch.cat([margins(model, examples[i : i + SCORED_AT_ONCE]) for i in starts])
    groups = [example.prompt_key for example in examples]
    right = (found > 0).double() + 0.5 * (found == 0).double()
    return {
        "accuracy": clipped(grouped_interval(right.tolist(), groups)).model_dump(),
        "nll": grouped_interval((-F.logsigmoid(found)).tolist(), groups, unit="nats").model_dump(),
    }
