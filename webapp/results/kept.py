"""How far a run was after some of its steps, by evaluations of what it had become by then."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db.models import Q

from webapp.artifacts.models import ArtifactInput
from webapp.results.words import entry_of
from webapp.runs.checkpoints import kept_from
from webapp.runs.models import Run, RunNeed

FIGURES = ("divergence", "reward_gain", "kl_reference", "win_rate")  # of an evaluation


class EvaluatedStep(NamedTuple):
    """An evaluation of what a run had become, and its figures as stored Estimates, None where it has not said them."""

    step: int
    evaluation: Run
    figures: list[Mapping[str, Any] | None]


class Standings(NamedTuple):
    """Those of a run, the first step first; as many titles as figures."""

    titles: list[str]
    rows: list[EvaluatedStep]

    @property
    def is_settled(self) -> bool:
        """Whether all of these evaluations are over."""
        return all(row.evaluation.is_final for row in self.rows)


def standings_of(run: Run) -> Standings | None:
    """What evaluations say of a run's kept checkpoints, and of its result; None where nothing of it was kept."""
    steps = {kept.pk: int(kept.config["step"]) for kept in kept_from(run)}
    if not steps:
        return None
    steps[run.pk] = run.step
    makers = policies_evaluated([*steps])
    found = run.project.runs.filter(pk__in=makers, kind="evaluate")
    rows = [EvaluatedStep(steps[makers[one.pk]], one, figures_of(one)) for one in found]
    titles = [entry_of("evaluate", name).title for name in FIGURES]
    return Standings(titles, sorted(rows, key=lambda row: (row.step, row.evaluation.pk)))


def policies_evaluated(makers: list[int]) -> dict[int, int]:
    """Which of these runs made the policy of a run that reads one of theirs, or will; by the reader's number."""
    policy = Q(role="policy")
    needs = RunNeed.objects.filter(policy, needs__in=makers).values_list("run", "needs")
    read = ArtifactInput.objects.filter(policy, artifact__producer__in=makers)
    return dict(needs) | dict(read.values_list("run", "artifact__producer"))


def figures_of(evaluation: Run) -> list[Mapping[str, Any] | None]:
    """What an evaluation has found of each."""
    return [evaluation.summary.get(name) for name in FIGURES]
