"""What a controller learns from: curves of the project's runs that are over, at the rungs of a new sweep."""

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from webapp.projects.models import Project
from webapp.results.queries import metric_series
from webapp.runs.models import Run, State
from webapp.sweeps.config import SearchConfig
from webapp.sweeps.controller import Recorded, at_shares
from webapp.sweeps.objectives import Objective, read_score

NEWEST = 200  # runs that are looked at


class Recordings(NamedTuple):
    """Runs with their heights at the rungs, which lie at these shares of all steps."""

    runs: list[Recorded]
    shares: list[float]


def recordings_of(
    project: Project, kind: str, objective: Objective, search: SearchConfig
) -> Recordings:
    """The newest runs of a kind that report what is searched for and what rungs compare."""
    done = list(
        project.runs.filter(kind=kind, state=State.SUCCEEDED, dry=False).order_by("-pk")[:NEWEST]
    )
    total = round(median(run.total_steps for run in done)) if done else 0
    shares = [step / total for step in search.rungs(total)]
    return Recordings(list(_recorded(done, objective, shares)) if shares else [], shares)


def _recorded(runs: list[Run], objective: Objective, shares: list[float]) -> Iterator[Recorded]:
    way, watched_way = (
        1 if larger else -1 for larger in (objective.larger, objective.watched_larger)
    )
    for run in runs:
        score = read_score(run, objective)
        series = metric_series(run, [objective.watched]).get(objective.watched, [])
        points = [(one.step, watched_way * one.value) for one in series if one.value is not None]
        if score is not None and points:
            heights = at_shares(points, run.total_steps, shares)
            yield Recorded(tuple(heights), way * score.value)
