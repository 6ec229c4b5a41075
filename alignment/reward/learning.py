"""One fit of a fresh model to some of the labels of a run."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.spec import RunSpec
from alignment.models.computation import set_up
from alignment.models.stepping import Loop, steps
from alignment.models.training import Run, Trainee
from alignment.reward.examples import Example, examples_of
from alignment.reward.features import FeatureStore, FeatureTable
from alignment.reward.fitting import RewardFit, begin_fit
from alignment.reward.frozen import FrozenModel
from alignment.reward.model import RewardModel
from alignment.reward.observation import Observation
from alignment.seam.events import Event, PhaseStarted
from alignment.seam.progress import counting, taking
from alignment.seam.records import LabelRecord
from alignment.seam.words import _


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
    table: FeatureTable | None = None  # of a backbone that stays as it is

    def learn(
        self, trial: Trial, run: Run | None = None
    ) -> Generator[Event, str | None, Learned | None]:
        """RewardFit a fresh model, the same at every start; None where that was saved to go on later.

        Only where it is told of a run it saves checkpoints, and goes on from one.
        """
        torch.manual_seed(self.seed)
        model, trunk = self._untrained(trial)
        observation = Observation(self.config, self.labels).to(model.trunk.device)
        fitted, held = examples_of(model, trial.fitted), examples_of(model, trial.held)
        one, first = begin_fit(model, observation, fitted, trunk, self.seed), next(self.steps)
        done = one.restore(run.resume) if run and run.resume else 0
        loop = self._loop(one, first, run)
        if (yield from steps(loop, first - 1 + done)) == "save":
            return None
        deque(islice(self.steps, loop.last - first), 0)  # further fits are numbered on
        if trunk:
            model = replace(model, trunk=trunk.result)
        return Learned(model, observation, fitted, held)

    def _loop(self, one: RewardFit, first: int, run: Run | None) -> Loop:
        """The steps of a fit among those of all."""

        def save(step: int) -> Event:
            assert run is not None
            return one.save(step, run.folder)

        return Loop(
            self.total,
            lambda step: one.take(step - first + 1),
            save if run else None,
            self.config.checkpoint_every,
            last=first + one.total - 1,
        )

    def _untrained(self, trial: Trial) -> tuple[RewardModel, Trainee | None]:
        """A model that has learned nothing, and what of its backbone will learn."""
        config = self.config
        if self.table is not None:
            read = examples_of(self.table.model, trial.fitted)
            texts = [ids for example in read for ids in example.texts]
            return FrozenModel.on(self.table, config.heads, texts), None
        model = RewardModel.fresh(
            self.backbone, heads=config.heads, pooling=config.pooling, role="backbone"
        )
        trunk = Trainee.of(model.trunk, config, self.seed, "backbone")
        return replace(model, trunk=trunk.policy), trunk


def feature_table(
    spec: RunSpec, folder: Path, labels: Sequence[LabelRecord]
) -> Generator[Event, str | None, FeatureTable | None]:
    """What a frozen backbone says of labelled answers, read as a phase of a run; None where it learns along."""
    config = RewardConfig.stored(spec.config)
    if config.trunk != "frozen":
        return None
    yield PhaseStarted(name=_("reading the texts"))
    table = empty_table(folder / spec.inputs["backbone"], config, spec.cache)
    texts = [ids for example in examples_of(table.model, labels) for ids in example.texts]
    with counting(len(texts), _("texts")), taking(1):
        table.of(texts)
    return table


def empty_table(backbone: Path, config: RewardConfig, cache: str | None) -> FeatureTable:
    """A table of a model that stays as it is, which knows what is kept in a cache."""
    model = RewardModel.fresh(backbone, pooling=config.pooling, role="backbone")
    model.trunk.model.requires_grad_(requires_grad=False)
    set_up(model.trunk, config, backward=False)
    how = (config.precision, str(model.pooling), model.trunk.device.type)
    store = FeatureStore.of(Path(cache), backbone, *how) if cache else None
    return FeatureTable(model, store)
