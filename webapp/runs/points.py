"""The numbers of a run as points of curves: what is whole is kept, so that no page adds up a history again.

A point stands for a bucket of steps: a power of two wide and beginning at a multiple of that, so that
points stay where they are as more arrive.
"""

from collections.abc import Callable, Collection, Iterator
from functools import reduce
from itertools import starmap
from operator import or_
from typing import NamedTuple

from django.db import connection
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum

from webapp.runs.models import Run, RunMetric, RunPoint

LAST = 2**31 - 1  # no step comes after it
BUCKETS = 500  # points a curve, at most
POINTS = 4000  # of all curves that are shown together, unless each has the fewest
FEWEST = 40
KEYS = """
    WITH RECURSIVE found(name) AS (
        SELECT MIN(key) FROM runs_runmetric WHERE run_id = %(run)s
        UNION ALL
        SELECT (SELECT MIN(key) FROM runs_runmetric WHERE run_id = %(run)s AND key > name)
        FROM found WHERE name IS NOT NULL
    )
    SELECT name FROM found WHERE name IS NOT NULL
"""


class Reached(NamedTuple):
    """How far the numbers of a run go: its newest epoch that has some, and the last step of that."""

    epoch: int
    step: int


def reached(run: Run) -> Reached:
    """The end of a run's curves; before there are any, no epoch's."""
    ordered = run.metrics.order_by("-epoch", "-step")
    return Reached(*(ordered.values_list("epoch", "step").first() or (-1, 0)))


def bucket_width(last_step: int, buckets: int = BUCKETS) -> int:
    """The least power of two of steps that needs no more than this many buckets up to a step."""
    width = 1
    while last_step // width >= buckets:
        width *= 2
    return width


def width_of(run: Run, buckets: int = BUCKETS) -> int:
    """How many steps a point of the run's curves stands for."""
    return bucket_width(reached(run).step, buckets)


def ends_of_epochs(run: Run, since: int = 0, there: Reached | None = None) -> dict[int, int]:
    """Up to which step, itself not included, no later epoch has done again what each epoch did from a step on."""
    ends, redone = {}, LAST + 1
    epoch: int | None = (there or reached(run)).epoch
    while epoch is not None and redone > since:
        ends[epoch] = redone
        first = run.metrics.filter(epoch=epoch).aggregate(step=Min("step"))["step"]
        redone = redone if first is None else min(redone, first)
        epoch = run.metrics.filter(epoch__lt=epoch).aggregate(epoch=Max("epoch"))["epoch"]
    return ends


def shown_metrics(run: Run, since: int, there: Reached) -> QuerySet[RunMetric]:
    """Numbers from a step on that no later epoch has done again: of each epoch, those before the next ones' first."""
    ends = ends_of_epochs(run, since, there)
    shown = [
        Q(epoch=epoch) if end > LAST else Q(epoch=epoch, step__lt=end)
        for epoch, end in ends.items()
    ]
    return run.metrics.filter(reduce(or_, shown), step__range=(since, LAST))


def curve_names(run: Run) -> list[str]:
    """The names of a run's curves, in order: each is looked up after the last, however many numbers there are."""
    with connection.cursor() as cursor:
        cursor.execute(KEYS, {"run": run.pk})
        return [key for (key,) in cursor.fetchall()]


def buckets_for(run: Run) -> int:
    """How many points each curve of a run may have where all of them are shown together."""
    return max(FEWEST, min(BUCKETS, POINTS // max(1, len(curve_names(run)))))


class Point(NamedTuple):
    """One bucket of a curve: its last step, mean, least and greatest value, and how many."""

    step: int
    value: float | None
    low: float | None
    high: float | None
    n: int


class Bucket(NamedTuple):
    """What a curve's numbers of some steps come to; nothing but their number where none is finite."""

    key: str
    place: int
    last: int
    total: float | None
    low: float | None
    high: float | None
    finite: int
    n: int

    @property
    def point(self) -> Point:
        """As curves draw it."""
        mean = None if self.total is None else self.total / self.finite
        return Point(self.last, mean, self.low, self.high, self.n)

    def with_rest(self, later: "Bucket") -> "Bucket":
        """Together with the rest of its steps."""
        return later._replace(
            total=_of_finite(sum, self.total, later.total),
            low=_of_finite(min, self.low, later.low),
            high=_of_finite(max, self.high, later.high),
            finite=self.finite + later.finite,
            n=self.n + later.n,
        )


def _of_finite(act: Callable[[list[float]], float], *values: float | None) -> float | None:
    """What comes of those that are numbers, if any is."""
    there = [value for value in values if value is not None]
    return act(there) if there else None


def in_buckets(metrics: QuerySet[RunMetric], width: int) -> Iterator[Bucket]:
    """What numbers come to, curve by curve."""
    value = F("value")
    sums = {"all": Sum(value), "least": Min(value), "most": Max(value), "found": Count(value)}
    grouped = metrics.annotate(place=F("step") / width).values("key", "place")
    counted = grouped.annotate(last=Max("step"), **sums, number=Count("pk")).order_by(
        "key", "place"
    )
    return starmap(Bucket, counted.values_list("key", "place", "last", *sums, "number").iterator())


def kept_buckets(points: QuerySet[RunPoint], width: int) -> Iterator[Bucket]:
    """What kept points come to in buckets that are as wide or wider."""
    sums = {"all": Sum("total"), "least": Min("low"), "most": Max("high"), "found": Sum("finite")}
    grouped = points.annotate(place=F("step") / width).values("key", "place")
    counted = grouped.annotate(last=Max("step"), **sums, number=Sum("n")).order_by("key", "place")
    return starmap(Bucket, counted.values_list("key", "place", "last", *sums, "number").iterator())


def buckets_of(
    run: Run, width: int, since: int = 0, keys: Collection[str] | None = None
) -> Iterator[Bucket]:
    """A run's numbers from a step on: what is kept of them, then what came since."""
    named = {} if keys is None else {"key__in": [key for key in keys if "\0" not in key]}
    there = reached(run)
    kept = whole_of(run, there)
    usable = kept.width and width % kept.width == 0 and since % kept.width == 0
    if usable and since < kept.end:
        yield from kept_buckets(run.points.filter(step__gte=since, **named), width)
        since = kept.end
    yield from in_buckets(shown_metrics(run, since, there).filter(**named), width)


class Whole(NamedTuple):
    """Up to which step points are kept, and how wide they are; 0 where none can be used."""

    end: int
    width: int


def whole_of(run: Run, there: Reached) -> Whole:
    """What is kept of a run's curves, unless a later epoch does some of it again."""
    newest = run.points.order_by("-step").first()
    if newest is None or newest.epoch != there.epoch:
        return Whole(0, 0)
    return Whole((newest.step // newest.width + 1) * newest.width, newest.width)


def keep_points(run: Run) -> None:
    """Keep what has become whole, where a curve has more steps than points."""
    epoch, last = there = reached(run)
    width, kept = bucket_width(last), whole_of(run, there)
    end = last // width * width
    if width == 1 or (kept.width == width and kept.end == end):
        return
    if kept.width != width:
        run.points.all().delete()
        kept = Whole(0, width)
    whole = in_buckets(shown_metrics(run, kept.end, there).filter(step__lt=end), width)
    RunPoint.objects.bulk_create(
        RunPoint(
            run=run,
            epoch=epoch,
            width=width,
            key=bucket.key,
            step=bucket.last,
            total=bucket.total,
            low=bucket.low,
            high=bucket.high,
            finite=bucket.finite,
            n=bucket.n,
        )
        for bucket in whole
    )
