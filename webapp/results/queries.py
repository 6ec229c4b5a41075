"""What the pages of runs read: curves, samples, logs, and how long is left."""

from collections.abc import Collection, Iterator
from io import BytesIO
from itertools import chain
from typing import BinaryIO, NamedTuple

from django.db.models import F, Max, Min, QuerySet
from django.db.models.fields.tuple_lookups import Tuple
from django.utils.translation import gettext as _

from alignment.kinds import KINDS
from alignment.kinds.kind import Group
from alignment.kinds.settings.divergences import agent_title
from webapp.artifacts.models import Artifact
from webapp.runs.folders import folder_of
from webapp.runs.models import Run, RunMetric, RunSample
from webapp.runs.points import (
    BUCKETS,
    Bucket,
    Point,
    buckets_of,
    ends_of_epochs,
    width_of,
)
from webapp.site.pages import Later

CHUNK = 1000  # rows that are read at once
LOG_TAIL = 256 * 1024  # bytes
RECENT_STEPS = 50
NUMBER = ("key", "step", "epoch", "value")  # columns of a number
Number = tuple[str, int, int, float | None]


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


def original_of(run: Run) -> Artifact | None:
    """The model that a run has made smaller, if that is what its kind does."""
    if KINDS[run.kind].group != Group.SMALLER:
        return None
    return next((edge.artifact for edge in run.inputs.all() if edge.role == "policy"), None)


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
    return series_of(run, width_of(run, buckets), since=since, keys=keys)


def series_of(
    run: Run, width: int, *, since: int = 0, keys: Collection[str] | None = None
) -> dict[str, list[Point]]:
    """The same where it is known how many steps a point stands for."""
    found: dict[str, dict[int, Bucket]] = {}
    for bucket in buckets_of(run, width, since, keys):
        line = found.setdefault(bucket.key, {})
        earlier = line.get(bucket.place)
        line[bucket.place] = earlier.with_rest(bucket) if earlier else bucket
    return {key: [one.point for one in found[key].values()] for key in sorted(found)}


def all_numbers(
    run: Run, keys: Collection[str] | None = None
) -> Iterator[tuple[int, str, float | None]]:
    """Every number of a run, curve by curve: step, metric and value.

    They are read a part at a time where an index has them in their order: the first costs what the last does.
    """
    ends = ends_of_epochs(run)
    named = None if keys is None else sorted(key for key in set(keys) if "\0" not in key)
    parts = (
        [_in_parts(run.metrics.all(), "key", "step", "epoch")]
        if named is None
        else [_in_parts(run.metrics.filter(key=key), "step", "epoch") for key in named]
    )
    for part in chain.from_iterable(parts):
        yield from [
            (step, key, value) for key, step, epoch, value in part if step < ends.get(epoch, 0)
        ]


def _in_parts(metrics: QuerySet[RunMetric], *order: str) -> Iterator[list[Number]]:
    """Numbers in the order of an index; one that comes meanwhile is read if its place is still to come."""
    places = [NUMBER.index(column) for column in order]
    ordered = metrics.order_by(*order).values_list(*NUMBER)
    part: list[Number] = list(ordered[:CHUNK])
    while part:
        yield part
        later = Later(Tuple(*map(F, order)), tuple(part[-1][place] for place in places))
        part = list(ordered.filter(later)[:CHUNK]) if len(part) == CHUNK else []


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


def stamp_of_log(project_id: int, run_id: int) -> str:
    """Another word when a run's log has grown or its state has changed; none where there is no such run."""
    found = Run.objects.filter(project=project_id, pk=run_id).only("pk", "epoch", "state").first()
    if found is None:
        return ""
    path = folder_of(found) / "stdout.log"
    return f"{found.epoch}-{found.state}-{path.stat().st_size if path.exists() else 0}"


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
