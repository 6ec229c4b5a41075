"""One fit of a fresh model to some of the labels of a run."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.spec import RunSpec
from alignment.models.bounds import HeldOut, TrainingProgress
from alignment.models.computation import set_up
from alignment.models.devices import Placement
from alignment.models.lora import KeptAdapter
from alignment.models.training import Run, Trainee, TrainingSet, lessons_of, train_on
from alignment.reward.examples import Example, examples_of
from alignment.reward.features import FeatureStore, FeatureTable
from alignment.reward.fitting import DAMAGED, RewardTrainee, glance, label_step, resampled
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
    passed_over: Mapping[str, int] = field(default_factory=dict)  # labels, as a summary says it


@dataclass(frozen=True)
class Learned:
    """A fitted model, what its labels were seen through, and its trial's labels as it reads them."""

    model: RewardModel
    observation: Observation
    fitted: list[Example]
    held: list[Example]
    progress: TrainingProgress
    share: float  # of its steps after which the weights were as they are
    adapter: KeptAdapter | None = None  # where it is to be kept by itself


@dataclass(frozen=True)
class Learner:
    """What all fits of a run have in common."""

    backbone: Path
    config: RewardConfig
    labels: Sequence[LabelRecord]
    seed: int
    table: FeatureTable | None = None  # of a backbone that stays as it is

    def learn(
        self, trial: Trial, run: Run | None = None, after: int = 0, share: float = 1.0
    ) -> Generator[Event, str | None, Learned | None]:
        """Fit a fresh model, the same at every start; None where that was saved to go on later.

        Only where it is told of a run, which goes on for `after` steps, it saves checkpoints, goes on from one, and
        looks at what is held out; elsewhere it takes a share of its steps, over which its rate falls.
        """
        torch.manual_seed(self.seed)
        model, trunk = self._untrained(trial)
        observation = Observation(self.config, self.labels).to(model.trunk.device)
        one = RewardTrainee(model, observation, trunk)
        fitted, held = examples_of(model, trial.fitted), examples_of(model, trial.held)
        data = self._training_set(one, fitted)
        lessons = replace(
            lessons_of(data, self.config), parts=one.parts(self.config), damaged=DAMAGED
        )
        if run is None:
            lessons = replace(lessons, total=max(1, round(share * lessons.total)))
        else:
            looked_at = HeldOut.of(glance(one, held), self.config, len(held))
            lessons = replace(lessons, after=after, held=looked_at)
        asked = yield from train_on(one, self.config, lessons, run or Run(None, seed=self.seed))
        if asked == "save":
            return None
        adapter = trunk.kept_adapter(self.config) if trunk else None
        if trunk:
            model = replace(model, trunk=trunk.result)
        done = data.progress.kept / lessons.total
        return Learned(model, observation, fitted, held, data.progress, done, adapter)

    def _training_set(self, one: RewardTrainee, fitted: Sequence[Example]) -> TrainingSet:
        """Labels as what is fitted takes them, weighed for each head by torch's RNG."""
        draws = resampled(fitted, self.config.heads).to(one.reward.trunk.device)
        tokens = [sum(map(len, example.texts)) for example in fitted]
        step = label_step(one, fitted, draws)
        return TrainingSet([example.length for example in fitted], step, tokens)

    def _untrained(self, trial: Trial) -> tuple[RewardModel, Trainee | None]:
        """A model that has learned nothing, and what of its backbone will learn."""
        config = self.config
        if self.table is not None:
            read = examples_of(self.table.model, trial.fitted)
            texts = [ids for example in read for ids in example.texts]
            return FrozenModel.on(self.table, config.heads, texts), None
        model = RewardModel.fresh(
            self.backbone,
            heads=config.heads,
            pooling=config.pooling,
            role="backbone",
            placement=Placement.of(config, learns=True),
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
