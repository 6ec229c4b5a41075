"""What the pages of runs read: curves, samples, logs, and how long is left."""

from collections.abc import Collection
from functools import reduce
from io import BytesIO
from operator import or_
from typing import BinaryIO, NamedTuple

from django.db.models import Avg, Count, F, Max, Min, Q
from django.utils.translation import gettext as _

from alignment.kinds.settings.divergences import agent_title
from webapp.runs.folders import folder_of
from webapp.runs.models import Run, RunSample

BUCKETS = 500  # points a line, at most
LOG_TAIL = 256 * 1024  # bytes
RECENT_STEPS = 50


class Point(NamedTuple):
    """One bucket of a curve: its last step, mean, least and greatest value, and how many."""

    step: int
    value: float | None
    low: float | None
    high: float | None
    n: int


class LogPart(NamedTuple):
    """A piece of a log, with the byte offsets it stands between."""

    text: str
    start: int
    end: int


class SamplePair(NamedTuple):
    """What was answered to a prompt first and last; by which agent, where there are several."""

    prompt: str
    agent: str
    before: RunSample | None
    after: RunSample | None

    @property
    def sides(self) -> tuple[tuple[str, RunSample | None], ...]:
        """Both answers under their titles."""
        return ((_("Before"), self.before), (_("After"), self.after))


def metric_series(
    run: Run,
    keys: Collection[str] | None = None,
    *,
    since: int = 0,
    buckets: int = BUCKETS,
) -> dict[str, list[Point]]:
    """Curves by metric from a step on; after a resume what was done again is shown once, as it was done last.

    A bucket is a power of two of steps wide and starts at a multiple of that, so that points stay
    where they are as more arrive.
    """
    width = width_of(run, buckets)
    rows = run.metrics.filter(shown_epochs(run), step__gte=since)
    if keys is not None:
        rows = rows.filter(key__in=[key for key in keys if "\0" not in key])
    grouped = (
        rows.annotate(bucket=F("step") / width)
        .values("key", "bucket")
        .annotate(
            last=Max("step"), mean=Avg("value"), low=Min("value"), high=Max("value"), n=Count("pk")
        )
        .order_by("key", "bucket")
    )
    series: dict[str, list[Point]] = {}
    for row in grouped:
        point = Point(row["last"], row["mean"], row["low"], row["high"], row["n"])
        series.setdefault(row["key"], []).append(point)
    return series


def shown_epochs(run: Run) -> Q:
    """Metrics that no later epoch has done again: of each epoch, the steps before the next ones' first."""
    firsts = run.metrics.values("epoch").annotate(first=Min("step")).order_by("-epoch")
    shown, redone = [Q(epoch__isnull=True)], None
    for row in firsts:
        here = Q(epoch=row["epoch"])
        shown.append(here if redone is None else here & Q(step__lt=redone))
        redone = row["first"] if redone is None else min(redone, row["first"])
    return reduce(or_, shown)


def width_of(run: Run, buckets: int = BUCKETS) -> int:
    """How many steps a point of the run's curves stands for."""
    last = run.metrics.filter(shown_epochs(run)).aggregate(last=Max("step"))["last"]
    return bucket_width(last or 0, buckets)


def bucket_width(last_step: int, buckets: int) -> int:
    """The least power of two of steps that needs no more than this many buckets up to a step."""
    width = 1
    while last_step // width >= buckets:
        width *= 2
    return width


def samples(run: Run) -> list[SamplePair]:
    """Each sampled prompt with its first and its newest answer, in the order they were first drawn."""
    pairs: dict[tuple[str, str], SamplePair] = {}
    for sample in run.samples.order_by("epoch", "step", "pk"):
        key = (sample.prompt_key, sample.agent)
        known = pairs.get(key, SamplePair(sample.prompt, agent_title(sample.agent), None, None))
        first = sample.stage == "before"
        pairs[key] = known._replace(before=sample) if first else known._replace(after=sample)
    return list(pairs.values())


def log_tail(run: Run, limit: int = LOG_TAIL, offset: int | None = None) -> LogPart:
    """The end of the trainer's log, or the piece from an offset on; empty before there is one."""
    path = folder_of(run) / "stdout.log"
    if not path.exists():
        return LogPart("", 0, 0)
    with path.open("rb") as log:
        size = path.stat().st_size
        start = max(0, size - limit) if offset is None else min(offset, size)
        log.seek(start)
        text = log.read(limit)
    return LogPart(text.decode(errors="replace"), start, start + len(text))


def whole_log(run: Run) -> BinaryIO:
    """The trainer's log of the run's newest epoch, as far as it is written."""
    path = folder_of(run) / "stdout.log"
    return path.open("rb") if path.exists() else BytesIO()


def eta_of(run: Run) -> float | None:
    """How long a run will take: by its steps, and once they are done by the phase that follows them."""
    return run.phase_left if run.step >= run.total_steps else eta_seconds(run)


def eta_seconds(run: Run) -> float | None:
    """How long the steps left will take at the pace of the last ones; None while that is unknown."""
    if not run.is_live or run.total_steps <= run.step:
        return None
    recent = run.metrics.filter(epoch=run.epoch, step__gt=run.step - RECENT_STEPS)
    span = recent.aggregate(first=Min("step"), last=Max("step"), began=Min("at"), ended=Max("at"))
    if span["first"] is None or span["first"] == span["last"]:
        return None
    seconds = (span["ended"] - span["began"]).total_seconds()
    pace = seconds / (span["last"] - span["first"])
    return pace * (run.total_steps - run.step) or None
