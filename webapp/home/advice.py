"""What would help most next: what more labels, and more minutes of alignment, have brought in this project so far."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import Avg
from django.urls import reverse
from django.utils.translation import gettext as _

from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.projects.models import Project
from webapp.results.learning_curves import (
    Gain,
    LearningCurve,
    Point,
    fit_curve,
    gain_of,
    tells_enough,
    value_after,
)
from webapp.runs.models import Run, RunMetric, State

NEWEST = 60  # runs of each kind that are looked at
MORE_LABELS, MORE_MINUTES = 500, 10
CERTAIN = 1.0  # the most that an accuracy and a win rate can be
DEVIATIONS = 2 * 1.96  # standard errors in the width of a 95 % interval


class Measured(NamedTuple):
    """A point of a curve, and the run that measured it."""

    point: Point
    run: Run

    @property
    def estimate(self) -> Mapping[str, float]:
        """As a stored Estimate is shown."""
        half = self.point.error * DEVIATIONS / 2
        value = self.point.value
        return {"value": value, "low": value - half, "high": value + half}


class Advice(NamedTuple):
    """What more of one thing is expected to bring; `gain` is None where too few runs tell."""

    name: str
    title: str
    sentence: str
    unit: str  # of amounts
    measured: str  # what was measured after each
    rows: list[Measured]
    curve: LearningCurve | None
    gain: Gain | None
    action: str
    url: str


def advice_for(project: Project) -> list[Advice]:
    """All that can be said; what rests on more is worth more is for the reader to weigh."""
    return [_of_labels(project), _of_minutes(project)]


def _of_labels(project: Project) -> Advice:
    runs = list(
        project.runs.filter(kind="reward", state=State.SUCCEEDED, dry=False).order_by("-pk")[
            :NEWEST
        ]
    )
    rows = [Measured(point, run) for run in runs for point in _accuracies(run.summary)]
    share = _share_that_trains(runs)
    lacking = _(
        "Too few runs tell what more labels are worth: train reward models on three snapshots of different "
        "sizes, or one with the setting “Learning curve”."
    )
    found = _told(rows, MORE_LABELS * share)
    said = _(
        "The next {n} labels are worth about {value:+.1f} points of a reward model's accuracy ({low:+.1f} to "
        "{high:+.1f}), which would be {after:.1f} % then ({least:.1f} to {most:.1f})."
    )
    return Advice(
        "labels", _("More labels"), _in_words(said, found, MORE_LABELS, 100) or lacking, _("Pairs to train on"), _("Accuracy"), rows,
        found.curve, found.gain, _("Label answers"), reverse("labeling:label", args=[project.pk]),
    )  # fmt: skip


def _of_minutes(project: Project) -> Advice:
    rows = list(_win_rates(project))
    lacking = _(
        "Too few runs tell what more alignment is worth: evaluate models of three alignments of different length, "
        "all by one judge."
    )
    found = _told(rows, MORE_MINUTES)
    said = _(
        "{n} more minutes of alignment are worth about {value:+.3f} of win rate ({low:+.3f} to {high:+.3f})."
    )
    start = reverse("runs:start", args=[project.pk])
    return Advice(
        "minutes", _("More alignment"), _in_words(said, found, MORE_MINUTES, 1) or lacking, _("Minutes of training"), _("Win rate"), rows,
        found.curve, found.gain, _("Align a model"), f"{start}?kind=align",
    )  # fmt: skip


class _Told(NamedTuple):
    curve: LearningCurve | None = None
    gain: Gain | None = None
    after: Gain | None = None


def _told(rows: Sequence[Measured], more: float) -> _Told:
    """The curve, and what so much more than the most so far adds and gives; nothing where too little is known."""
    points = tuple(row.point for row in rows)
    if not tells_enough(points) or not more:
        return _Told()
    now = max(one.amount for one in points)
    gain = gain_of(points, now, more, CERTAIN)
    return _Told(fit_curve(points, CERTAIN), gain, value_after(points, now + more, CERTAIN))


def _in_words(sentence: str, told: _Told, number: int, times: float) -> str:
    """A sentence with what is expected, in so many parts of one; nothing where nothing is."""
    if told.gain is None or told.after is None:
        return ""
    gain, after = ([times * part for part in one] for one in (told.gain, told.after))
    names = ("value", "low", "high", "after", "least", "most")
    return sentence.format(n=number, **dict(zip(names, [*gain, *after], strict=True)))


def _accuracies(summary: Mapping[str, Any]) -> Iterator[Point]:
    """What a reward model's run measured: after all its labels, and where it was asked to, after parts of them."""
    curve = summary.get("learning_curve") or [
        {"labels": summary.get("pairs_train"), "accuracy": summary.get("accuracy")}
    ]
    for row in curve:
        if point := point_of(row.get("labels"), row.get("accuracy")):
            yield point


def point_of(amount: object, estimate: object) -> Point | None:
    """A stored Estimate after so much; None where either is missing or has no interval."""
    if not isinstance(amount, int | float) or not amount > 0 or not isinstance(estimate, Mapping):
        return None
    value, low, high = (estimate.get(name) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return None
    return Point(float(amount), value, (high - low) / DEVIATIONS)


def _share_that_trains(runs: Sequence[Run]) -> float:
    """How many of a hundred new labels a reward model learns from, by the newest one and its snapshot; 0: unknown."""
    given = ArtifactInput.objects.filter(run__in=runs, artifact__type=Artifact.Type.SNAPSHOT)
    for row in given.select_related("artifact__snapshot", "run").order_by("-run"):
        snapshot, learned = (
            getattr(row.artifact, "snapshot", None),
            row.run.summary.get("pairs_train"),
        )
        if snapshot and snapshot.labels and learned:
            return float(min(1.0, learned / snapshot.labels))
    return 0.0


def _win_rates(project: Project) -> Iterator[Measured]:
    """Win rates of aligned models by how long they were trained, as the judge of the newest evaluation sees them."""
    done = project.runs.filter(kind="evaluate", state=State.SUCCEEDED, dry=False).order_by("-pk")
    evaluations = [run for run in done[:NEWEST] if run.summary.get("win_rate")]
    given = ArtifactInput.objects.filter(
        run__in=evaluations, role="policy", artifact__producer__kind="align"
    )
    makers = {
        row.run_id: row.artifact.producer for row in given.select_related("artifact__producer")
    }
    minutes = _minutes_of([run for run in makers.values() if run])
    judges = [run.summary.get("judge") for run in evaluations if run.pk in makers]
    for run in evaluations:
        maker = makers.get(run.pk)
        if maker is None or run.summary.get("judge") != judges[0]:
            continue
        if point := point_of(minutes.get(maker.pk), run.summary["win_rate"]):
            yield Measured(point, run)


def _minutes_of(runs: Sequence[Run]) -> dict[int, float]:
    """How long the steps of each took, also where it was paused between them."""
    timed = RunMetric.objects.filter(run__in=runs, key="seconds/step").values("run")
    means = dict(timed.annotate(mean=Avg("value")).values_list("run", "mean"))
    return {run.pk: run.step * means[run.pk] / 60 for run in runs if means.get(run.pk)}
