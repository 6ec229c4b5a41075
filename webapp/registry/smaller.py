"""The small models of one original: what each saves, what it costs, and which of them no other one beats."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from alignment.kinds import KINDS
from alignment.kinds.costs import estimate_in_words
from alignment.kinds.kind import Group, Kind
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.runs.models import Run, State

MOST = 200  # small models of a page, the newest
EVEN, WITHIN = 0.5, 0.01  # win rate of the original against itself, and how far from it is near
LATER = 2  # trainings and shrinkings after a model was made smaller that are followed
HEALED = _("Aligned after that, by an evaluation")
SMALLER = [name for name, kind in KINDS.items() if kind.group == Group.SMALLER]


class Figure(NamedTuple):
    """A number with its interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The interval, or the number twice."""
        return (
            self.value if self.low is None else self.low,
            self.value if self.high is None else self.high,
        )


class Scale(NamedTuple):
    """Something by which models are compared, and what the original itself has of it."""

    name: str
    title: str
    meaning: str
    find: Callable[[Mapping[str, Any]], Figure | None]
    original: float
    percent: bool = False
    more_is_better: bool = False

    def words(self, figure: Figure | None) -> str:
        """A number with its interval."""
        return estimate_in_words(figure._asdict(), percent=self.percent) if figure else "—"


def figure_of(key: str) -> Callable[[Mapping[str, Any]], Figure | None]:
    """What finds a summary's number, an Estimate or a plain one."""

    def find(summary: Mapping[str, Any]) -> Figure | None:
        found = summary.get(key)
        if isinstance(found, Mapping):
            return Figure(found["value"], found["low"], found["high"])
        return None if found is None else Figure(found)

    return find


def time_of(summary: Mapping[str, Any]) -> Figure | None:
    """The time of a forward as a share of the original's: both were timed in turn."""
    if (found := figure_of("speedup")(summary)) is None:
        return None
    low, high = found.ends
    return Figure(1 / found.value, 1 / high, 1 / low)


SAVED: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            "size",
            _("Size on disk"),
            _("of the original's"),
            figure_of("bytes_ratio"),
            1,
            percent=True,
        ),
        Scale("time", _("Time of a forward"), _("of the original's"), time_of, 1, percent=True),
    )
}
COSTS: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale("kl", _("KL from the original"), _("nats a token"), figure_of("kl_token"), 0),
        Scale(
            "divergence",
            _("Divergence lost"),
            _("to the target, after less before"),
            figure_of("divergence_change"),
            0,
        ),
        Scale(
            "win",
            _("Win rate"),
            _("against the original"),
            figure_of("win_rate"),
            EVEN,
            percent=True,
            more_is_better=True,
        ),
        Scale(
            "perplexity",
            _("Change of the perplexity"),
            _("as a share"),
            figure_of("perplexity_change"),
            0,
            percent=True,
        ),
    )
}

SCALES = {**SAVED, **COSTS}


class SmallModel(NamedTuple):
    """A small model with its numbers by scale, and whether no other is both smaller and nearer."""

    number: int  # in the plot and in the table
    artifact: Artifact
    title: str  # of its kind
    figures: Mapping[str, Figure]  # those that were measured
    front: bool = False

    @property
    def size(self) -> str:
        """Its size in words."""
        return SAVED["size"].words(self.figures.get("size"))

    @property
    def win(self) -> str:
        """Its win rate in words."""
        return COSTS["win"].words(self.figures.get("win"))

    @property
    def cells(self) -> list[str]:
        """Its numbers in words, in the order of the scales."""
        return [scale.words(self.figures.get(name)) for name, scale in SCALES.items()]


class SizeBoard(NamedTuple):
    """What the page shows: models by size, and where they stand on two scales."""

    rows: list[SmallModel]
    across: Scale
    up: Scale
    within: SmallModel | None  # the smallest within 1 % of the win rate
    undecided: SmallModel | None  # the smallest whose interval reaches it
    judged: bool  # whether any has a win rate
    total: int  # of all small models

    @property
    def title(self) -> str:
        """What is against what."""
        words = gettext("{up} against {across}")
        return words.format(up=gettext(self.up.title), across=gettext(self.across.title).lower())

    @property
    def shown(self) -> list[SmallModel]:
        """Those that have both numbers."""
        return [row for row in self.rows if on_both(row, self.across, self.up)]


def small_models(original: Artifact) -> QuerySet[Artifact]:
    """What runs that make a model smaller have made of it, the newest first."""
    rows = Artifact.objects.filter(
        type=original.type,
        project=original.project_id,
        producer__kind__in=SMALLER,
        producer__inputs__role="policy",
        producer__inputs__artifact=original,
    )
    return rows.select_related("producer").order_by("-pk")


def ways_for(original: Artifact) -> list[Kind]:
    """The kinds of run that can make it smaller."""
    kinds = (KINDS[name] for name in SMALLER)
    return [kind for kind in kinds if original.type in kind.input_named("policy").types]


def size_board(original: Artifact, asked: Mapping[str, str]) -> SizeBoard:
    """The small models of an original on the scales that an address asks for: ?across= and ?up=."""
    found = list(small_models(original)[: MOST + 1])
    count = len(found) if len(found) <= MOST else small_models(original).count()
    rows = [
        SmallModel(0, model, KINDS[model.producer.kind].title, figures_in(model.summary))
        for model in found[:MOST]
        if model.producer is not None
    ]
    rows += healed_models(original, found)
    rows.sort(key=lambda row: (size_of(row), row.artifact.pk))
    across = SAVED.get(asked.get("across", ""), SAVED["size"])
    up = COSTS.get(asked.get("up", ""), COSTS["kl"])
    best = front_of([row for row in rows if on_both(row, across, up)], across, up)
    rows = [
        row._replace(number=number, front=row.artifact.pk in best)
        for number, row in enumerate(rows, 1)
    ]
    judged = any("win" in row.figures for row in rows)
    return SizeBoard(rows, across, up, *smallest_within(rows), judged, count)


def healed_models(original: Artifact, small: Sequence[Artifact]) -> list[SmallModel]:
    """What was made of small models by training them, and made small again after it, as evaluations against the original found it.

    An evaluation measures no KL from the original of every token, and no time: only size and win rate are told.
    """
    later: list[Artifact] = []
    made = list(small)
    for _generation in range(LATER):
        made = list(trained_from(made, but=[*small, *later]))
        later += made
    judged = ArtifactInput.objects.filter(
        role="policy",
        artifact__in=later,
        run__in=Run.objects.filter(
            kind="evaluate",
            state=State.SUCCEEDED,
            dry=False,
            inputs__role="reference",
            inputs__artifact=original,
        ),
    )
    newest = {edge.artifact_id: edge for edge in judged.select_related("run").order_by("run_id")}
    return [
        SmallModel(0, model, HEALED, evaluated(model, original, newest[model.pk].run.summary))
        for model in later
        if model.pk in newest
    ]


def trained_from(models: Sequence[Artifact], but: Sequence[Artifact]) -> QuerySet[Artifact]:
    """Models that runs have made of these, but for those that are known."""
    rows = Artifact.objects.models().filter(
        producer__inputs__role="policy", producer__inputs__artifact__in=models
    )
    return rows.exclude(pk__in=[one.pk for one in but])


def evaluated(model: Artifact, original: Artifact, summary: Mapping[str, Any]) -> dict[str, Figure]:
    """What an evaluation says of a model that was not compared with the original by the run that made it."""
    win = figure_of("win_rate")(summary)
    return {"size": Figure(model.bytes / original.bytes)} | ({"win": win} if win else {})


def figures_in(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """What was measured, by scale."""
    found = {name: scale.find(summary) for name, scale in SCALES.items()}
    return {name: figure for name, figure in found.items() if figure is not None}


def size_of(row: SmallModel) -> float:
    """Its size, of the original's; what has none comes last."""
    return row.figures["size"].value if "size" in row.figures else math.inf


def on_both(row: SmallModel, across: Scale, up: Scale) -> bool:
    """Whether a model has a number on both scales."""
    return across.name in row.figures and up.name in row.figures


def front_of(rows: Sequence[SmallModel], across: Scale, up: Scale) -> set[int]:
    """The models that no other one beats in both numbers, by their values (the Pareto front)."""
    places = {row.artifact.pk: (cost_on(row, across), cost_on(row, up)) for row in rows}

    def beaten(own: tuple[float, float]) -> bool:
        return any(
            other[0] <= own[0] and other[1] <= own[1] and other != own for other in places.values()
        )

    return {pk for pk, place in places.items() if not beaten(place)}


def cost_on(row: SmallModel, scale: Scale) -> float:
    """A number of which less is better."""
    value = row.figures[scale.name].value
    return -value if scale.more_is_better else value


def smallest_within(rows: Sequence[SmallModel]) -> tuple[SmallModel | None, SmallModel | None]:
    """The first, of models by size, whose win rate is at most 1 % below one half; and the first that may be so."""
    wins = [(row, row.figures["win"]) for row in rows if "win" in row.figures]
    surely = (row for row, win in wins if win.value >= EVEN - WITHIN)
    maybe = (row for row, win in wins if (win.high or 0.0) >= EVEN - WITHIN)
    return next(surely, None), next(maybe, None)
