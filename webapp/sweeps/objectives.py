"""What a sweep searches for: a number that a run reports at its end, or the last point of one of its curves."""

from collections.abc import Mapping
from typing import NamedTuple, get_args

from django.db.models import Avg
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from alignment.kinds.kind import Kind
from alignment.seam.records import Estimate
from webapp.runs.models import Run, RunMetric
from webapp.runs.points import reached, shown_metrics
from webapp.sweeps.config import BetterName

RESULT, CURVE = "result", "curve"
NUMBERS = (Estimate, float, int)


class Objective(BaseModel):
    """One number of a run and which way is better; `watched` is the curve that rungs compare."""

    model_config = ConfigDict(frozen=True)

    source: str  # result or curve
    key: str
    better: BetterName
    watched: str = ""
    watched_better: BetterName = "smaller"

    @property
    def larger(self) -> bool:
        """Whether the larger is the better."""
        return self.better == "larger"

    @property
    def watched_larger(self) -> bool:
        """The same of the curve that rungs compare."""
        return self.watched_better == "larger"

    def title(self, kind: Kind) -> str:
        """What people call it."""
        return _(dict(objectives_of(kind)).get(f"{self.source}:{self.key}", self.key))


class Score(NamedTuple):
    """A trial's number, with its interval where the run reported one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def stored(self) -> Mapping[str, float | None]:
        """As an Estimate is shown."""
        return self._asdict()

    def holds(self, other: "Score") -> bool:
        """Whether another's number lies within this one's interval."""
        if self.low is None or self.high is None:
            return False
        return self.low <= other.value <= self.high


def objectives_of(kind: Kind) -> list[tuple[str, str]]:
    """All that a kind's runs can be compared by, with its words: first what has an interval, then curves."""
    entries = kind.results.entries()
    fields = {info.alias or name: info for name, info in kind.results.model_fields.items()}
    shown = {name: info for name, info in fields.items() if not entries[name].aside}
    exact = [name for name, info in shown.items() if Estimate in get_args(info.annotation)]
    plain = [name for name, info in shown.items() if is_number(info) and name not in exact]
    curves = [(f"{CURVE}:{one.key}", one.title) for one in kind.curves]
    first, last = (
        [(f"{RESULT}:{name}", entries[name].title) for name in names] for names in (exact, plain)
    )
    return [*first, *curves, *last]


def is_number(info: FieldInfo) -> bool:
    """Whether a result is one number, with or without its interval."""
    return any(one in NUMBERS for one in get_args(info.annotation))


def read_score(run: Run, objective: Objective) -> Score | None:
    """A run's number; None before it has a finite one."""
    if objective.source == CURVE:
        point = last_point(run, objective.key)
        return None if point is None or point.value is None else Score(point.value)
    found = run.summary.get(objective.key)
    if isinstance(found, Mapping):
        value = found.get("value")
        return None if value is None else Score(value, found.get("low"), found.get("high"))
    return Score(float(found)) if isinstance(found, int | float) else None


def last_point(run: Run, key: str) -> RunMetric | None:
    """The newest point of a curve."""
    return run.metrics.filter(key=key).order_by("-epoch", "-step").first()


def height_at(run: Run, key: str, step: int) -> float | None:
    """A curve at a step: the mean since half of the way, as one point is noisy; None where it is no number there.

    A curve with no point since then is taken at its last before, or else at its first beyond.
    """
    points = run.metrics.filter(key=key)
    before = points.filter(step__lte=step).order_by("-epoch", "-step").first()
    last = before or points.order_by("step", "-epoch").first()
    if last is None or last.value is None:
        return None
    late = shown_metrics(run, step // 2 + 1, reached(run)).filter(key=key, step__lte=step)
    mean: float | None = late.aggregate(mean=Avg("value"))["mean"]
    return last.value if mean is None else mean


def has_come_to(run: Run, key: str, step: int) -> bool:
    """Whether a curve has a point at a step or beyond."""
    return run.metrics.filter(key=key, step__gte=step).exists()
