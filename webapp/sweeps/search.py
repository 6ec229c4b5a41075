"""Which point comes next, and who goes on from a rung: optuna's samplers and pruner, made anew from what is known.

Nothing is kept here: what has been tried is told each time, and the same is answered to the same. Loading this
loads optuna, which is why programs do so when a sweep needs it.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from webapp.sweeps.config import SearchConfig
from webapp.sweeps.space import AtRung, Dimension, Tried, Value, is_listed

optuna.logging.set_verbosity(optuna.logging.ERROR)
LARGE = 2**31


class _Point(TypedDict):
    """Where a trial is, as optuna takes it."""

    params: dict[str, object]
    distributions: dict[str, BaseDistribution]


class Searcher(NamedTuple):
    """A search through a space, by a method, for the larger or the smaller."""

    space: Sequence[Dimension]
    config: SearchConfig
    larger: bool
    seed: int

    def propose(self, tried: Sequence[Tried]) -> dict[str, Value]:
        """The point of the next trial, after these in their order."""
        study = self._study(self._sampler(len(tried)))
        study.add_trials([self._told(one) for one in tried])
        asked = study.ask(self._distributions()).params
        return {one.name: asked[one.name] for one in self.space}

    def goes_on(self, arrivals: Sequence[AtRung]) -> bool:
        """Whether the last that arrived at its rung is among the best of those so far (ASHA).

        Li et al. 2020, “A system for massively parallel hyperparameter tuning”: one in η goes on.
        """
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=self.config.reduction
        )
        study = self._study(RandomSampler(seed=0), pruner)
        trials = {number: study.ask() for number in dict.fromkeys(one.trial for one in arrivals)}
        stops = False
        for one in arrivals:
            trial = trials[one.trial]
            value = float("nan") if one.value is None else one.value
            trial.report(value, self.config.reduction**one.rung)  # in parts of the first rung
            stops = trial.should_prune()
        return not stops

    def _study(
        self, sampler: BaseSampler, pruner: optuna.pruners.BasePruner | None = None
    ) -> optuna.Study:
        way = StudyDirection.MAXIMIZE if self.larger else StudyDirection.MINIMIZE
        return optuna.create_study(direction=way, sampler=sampler, pruner=pruner)

    def _sampler(self, number: int) -> BaseSampler:
        """The method's sampler for the trial of this number, its chance drawn from the sweep's seed and that."""
        seed = (self.seed * 1_000_003 + number) % LARGE
        if is_listed(self.config.method, self.space):
            return GridSampler(self._grid(), seed=self.seed % LARGE)
        if self.config.method == "tpe":
            first = min(10, max(3, self.config.trials // 4))
            return TPESampler(seed=seed, n_startup_trials=first)
        return RandomSampler(seed=seed)

    def _grid(self) -> dict[str, list[str | float | int | bool | None]]:
        return {one.name: list(one.points) for one in self.space}

    def _distributions(self) -> dict[str, BaseDistribution]:
        """What may come of each setting; of a list its points alone."""
        listed = is_listed(self.config.method, self.space)
        return {
            one.name: CategoricalDistribution(list(one.points)) if listed else distribution(one)
            for one in self.space
        }

    def _told(self, tried: Tried) -> FrozenTrial:
        where = _Point(params=dict(tried.values), distributions=self._distributions())
        if tried.failed:
            return create_trial(state=TrialState.FAIL, **where)
        if tried.score is None:
            return create_trial(state=TrialState.RUNNING, **where)
        return create_trial(value=tried.score, **where)


def distribution(one: Dimension) -> BaseDistribution:
    """A setting as optuna knows it."""
    if not one.is_range:
        return CategoricalDistribution(list(one.values))
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)
