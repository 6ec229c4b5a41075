"""One fit of a fresh model to some of the labels of a run."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from alignment.kinds.reward.settings import RewardConfig
from alignment.models.stepping import Loop, steps
from alignment.reward.examples import Example, examples_of
from alignment.reward.fitting import fit, steps_of
from alignment.reward.model import RewardModel
from alignment.reward.observation import Observation
from alignment.seam.events import Event
from alignment.seam.records import LabelRecord


@dataclass(frozen=True)
class Trial:
    """Labels to fit a model to, and labels to measure it by."""

    name: str
    fitted: list[LabelRecord]
    held: list[LabelRecord]


@dataclass(frozen=True)
class Learned:
    """A fitted model, what its labels were seen through, and its trial's labels as it reads them."""

    model: RewardModel
    observation: Observation
    fitted: list[Example]
    held: list[Example]


@dataclass(frozen=True)
class Learner:
    """What all fits of a run have in common; `steps` numbers them through."""

    backbone: Path
    config: RewardConfig
    labels: Sequence[LabelRecord]
    seed: int
    steps: Iterator[int]
    total: int

    def learn(self, trial: Trial) -> Generator[Event, str | None, Learned]:
        """Fit a fresh model, the same at every start."""
        torch.manual_seed(self.seed)
        config = self.config
        model = RewardModel.fresh(
            self.backbone, heads=config.heads, pooling=config.pooling, role="backbone"
        )
        observation = Observation(config, self.labels).to(model.trunk.device)
        fitted, held = examples_of(model, trial.fitted), examples_of(model, trial.held)
        taken, first = fit(model, observation, fitted), next(self.steps)
        last = first + steps_of(config, len(fitted)) - 1
        yield from steps(Loop(self.total, lambda _: next(taken), last=last), first - 1)
        for _ in range(first, last):
            next(self.steps)  # further fits are numbered on
        return Learned(model, observation, fitted, held)
