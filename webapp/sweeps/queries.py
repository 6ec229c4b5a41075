"""What pages show about sweeps: the trials in their order, the best of them, and the plots' numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from django.db.models import Count, Max, Min, Q, QuerySet
from django.utils.translation import gettext as _

from alignment.kinds import KINDS
from alignment.kinds.kind import Kind
from webapp.results.words import setting_in_words
from webapp.runs.models import Run
from webapp.runs.waiting import LATER
from webapp.site.stamps import columns_of, rows_seen, stamp_of
from webapp.sweeps.config import METHODS
from webapp.sweeps.models import Sweep, Trial, TrialState
from webapp.sweeps.objectives import Objective, Score
from webapp.sweeps.outlook import dimension_in_words
from webapp.sweeps.space import Dimension
from webapp.sweeps.trials import most_trials, objective_of, search_of, space_of

ORDER = tuple(TrialState)  # of the table: what is at work first


class TrialRow(NamedTuple):
    """One line of the table."""

    trial: Trial
    cells: list[str]
    score: Mapping[str, float | None] | None
    best: bool
    rungs: int

    @property
    def state(self) -> str:
        """What its badge says: the run's own state while it is at work."""
        run = self.trial.run
        if self.trial.state == TrialState.OPEN and run is not None:
            return run.shown_state
        return str(self.trial.get_state_display()).lower()


class Board(NamedTuple):
    """A sweep with all that its page shows."""

    sweep: Sweep
    kind: Kind
    objective: Objective
    space: list[Dimension]
    rows: list[TrialRow]
    best: Trial | None
    alike: Sequence[Trial]  # whose number lies within the best one's interval
    steps: int

    @property
    def titles(self) -> list[str]:
        """Of the settings that are varied."""
        return [title_of(self.kind, one) for one in self.space]

    @property
    def varied(self) -> str:
        """The same in words, with their values."""
        return "; ".join(dimension_in_words(self.kind, one) for one in self.space)

    @property
    def sought(self) -> str:
        """What is searched for."""
        return self.objective.title(self.kind)

    @property
    def method(self) -> str:
        """By which method."""
        return _(METHODS[search_of(self.sweep).method])

    @property
    def most(self) -> int:
        """How many trials there will be at most."""
        return most_trials(search_of(self.sweep), self.space)

    @property
    def ended(self) -> int:
        """How many trials are over."""
        return sum(row.trial.state != TrialState.OPEN for row in self.rows)

    @property
    def lost(self) -> int:
        """How many could be tried again."""
        return sum(row.trial.state == TrialState.FAILED for row in self.rows)

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        runs = (row.trial.run for row in self.rows)
        return self.sweep.is_over and all(run is None or run.is_final for run in runs)

    @property
    def seen(self) -> str:
        """Changes when its page shows something else beyond what refreshes itself."""
        return f"{self.sweep.state}-{'over' if self.is_final else 'on'}"

    @property
    def recommended(self) -> list[str]:
        """The best trial's settings, each with its value."""
        if self.best is None:
            return []
        cells = (in_words(self.kind, one.name, self.best.values[one.name]) for one in self.space)
        return [f"{title} {cell}" for title, cell in zip(self.titles, cells, strict=True)]

    @property
    def best_score(self) -> Mapping[str, float | None] | None:
        """The best trial's number."""
        return interval_of(self.best).stored if self.best else None

    @property
    def picture(self) -> Mapping[str, object]:
        """What the plots draw: axes, and of each trial where it lies."""
        return {
            "sought": self.sought,
            "larger": self.objective.larger,
            "axes": [axis_of(self.kind, one) for one in self.space],
            "trials": [self._drawn(row) for row in self.rows],
        }

    def _drawn(self, row: TrialRow) -> Mapping[str, object]:
        values = row.trial.values
        return {
            "number": row.trial.number + 1,
            "score": row.trial.score,
            "low": row.trial.low,
            "high": row.trial.high,
            "best": row.best,
            "places": [one.place(values[one.name]) for one in self.space],
            "at": [one.coordinate(values[one.name]) for one in self.space],
        }


def board_of(sweep: Sweep) -> Board:
    """All about a sweep, in a few queries for any number of trials."""
    kind, objective, space = KINDS[sweep.kind], objective_of(sweep), space_of(sweep)
    trials = list(sweep.trials.select_related("run").annotate(came=Count("rungs")))
    done = [one for one in trials if one.state == TrialState.DONE]
    done.sort(key=lambda one: (one.score or 0.0) * (-1 if objective.larger else 1))
    best = done[0] if done else None
    within = [one for one in done[1:] if best and interval_of(best).holds(interval_of(one))]
    ranks = {one.pk: place for place, one in enumerate(done)}
    trials.sort(key=lambda one: (ORDER.index(TrialState(one.state)), ranks.get(one.pk, one.number)))
    rows = [_row(kind, space, one, one == best) for one in trials]
    steps = sum(one.run.step for one in trials if one.run)
    return Board(sweep, kind, objective, space, rows, best, within, steps)


def _row(kind: Kind, space: Sequence[Dimension], trial: Trial, best: bool) -> TrialRow:  # noqa: FBT001
    cells = [in_words(kind, one.name, trial.values[one.name]) for one in space]
    score = None if trial.score is None else interval_of(trial).stored
    return TrialRow(trial, cells, score, best, getattr(trial, "came", 0))


def interval_of(trial: Trial) -> Score:
    """A finished trial's number."""
    return Score(trial.score or 0.0, trial.low, trial.high)


def in_words(kind: Kind, name: str, value: object) -> str:
    """A setting's value as tables have it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return setting_in_words(value, kind.settings.model_fields.get(name))


def title_of(kind: Kind, one: Dimension) -> str:
    """A setting's title."""
    field = kind.settings.model_fields.get(one.name)
    return _(field.title or one.name) if field else one.name


def axis_of(kind: Kind, one: Dimension) -> Mapping[str, object]:
    """A setting as a plot's axis: its ends in words, and where it has names their words."""
    names = [] if one.is_number else [in_words(kind, one.name, value) for value in one.values]
    ends = [in_words(kind, one.name, value) for value in one.ends]
    return {"title": title_of(kind, one), "log": one.by_log, "names": names, "ends": ends}


def listed_sweeps(sweeps: QuerySet[Sweep]) -> QuerySet[Sweep]:
    """Sweeps with what their list says of each."""
    over = Q(trials__isnull=False) & ~Q(trials__state=TrialState.OPEN)
    return sweeps.select_related("created_by").annotate(
        begun=Count("trials"),
        over=Count("trials", filter=over),
        least=Min("trials__score"),
        greatest=Max("trials__score"),
    )


class Listed(NamedTuple):
    """One sweep of the list."""

    sweep: Sweep
    sought: str
    best: float | None
    over: int
    most: int


def as_listed(sweep: Sweep) -> Listed:
    """A sweep that `listed_sweeps` found."""
    objective = objective_of(sweep)
    best = getattr(sweep, "greatest" if objective.larger else "least", None)
    most = most_trials(search_of(sweep), space_of(sweep))
    sought = objective.title(KINDS[sweep.kind]) if sweep.kind in KINDS else objective.key
    return Listed(sweep, sought, best, getattr(sweep, "over", 0), most)


def stamp_of_sweep(project_id: int, sweep_id: int) -> str:
    """Another word when something that is shown of a sweep has changed."""
    related = """
        LEFT JOIN sweeps_trial ON sweeps_trial.sweep_id = sweeps_sweep.id
        LEFT JOIN runs_run ON runs_run.id = sweeps_trial.run_id
        WHERE sweeps_sweep.project_id = %s AND sweeps_sweep.id = %s ORDER BY sweeps_trial.number
    """
    beside = (columns_of(Trial), columns_of(Run))
    return stamp_of(rows_seen(Sweep, related, project_id, sweep_id, beside=beside), every=LATER)
