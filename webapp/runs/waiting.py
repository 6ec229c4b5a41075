"""The queue as people see it: what is in it, and why each run has not started."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from django.conf import settings
from django.db.models import Case, Exists, IntegerField, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from webapp.projects.models import Project
from webapp.queue.bell import silent_bells
from webapp.runs.models import LIVE, Run, RunEvent, RunNeed, State, Worker
from webapp.site.clock import after
from webapp.site.pages import ROWS
from webapp.site.stamps import rows_seen, stamp_of

WORKERS = (
    "(SELECT COUNT(*) FROM runs_worker)",
    "(SELECT MAX(id) FROM runs_worker)",
    "(SELECT COUNT(*) FROM runs_worker WHERE draining)",
)
# What the queue shows of a run, or orders and explains it by; a heartbeat alone draws nothing again.
IN_QUEUE = (
    *(
        "id",
        "name",
        "state",
        "reason",
        "intent",
        "priority",
        "message",
        "not_before",
        "outgrew_gib",
    ),
    *("worker", "step", "total_steps"),
    *("phase", "phase_done", "phase_total", "phase_unit", "phase_seconds"),
)
SOON, LATER = 5, 15  # seconds after which a page is drawn again though no row has changed

LONG = 60.0  # seconds; tend rings several times in them
OVERLOOKED = gettext_noop(
    "a worker is there and does not take it; the logs of worker and tend say more"
)


class Waiting(NamedTuple):
    """A run that is not over, and why it has not started; no reason when it has."""

    run: Run
    reason: str


def queue(project: Project) -> list[Waiting]:
    """The project's runs that are not over: those at work first, then by their turn, as many as a page has."""
    at_work = Case(
        When(state__in=LIVE, then=Value(0)), default=Value(1), output_field=IntegerField()
    )
    rows = Run.objects.under_way().filter(project=project).select_related("worker")
    runs = list(rows.order_by(at_work, "priority", "created_at", "pk")[:ROWS])
    reasons = waiting_reasons(runs)
    return [Waiting(run, reasons.get(run.pk, run.message)) for run in runs]


def stamp_of_run(project_id: int, run_id: int) -> str:
    """Another word when something that is shown of a run has changed."""
    return stamp_of_runs("WHERE project_id = %s AND id = %s", project_id, run_id)


def stamp_of_runs(
    where: str, *values: int, only: Sequence[str] = (), beside: Sequence[str] = ()
) -> str:
    """The same of several by the rest of a query; what one waits for in a queue is looked at now and then."""
    rows = rows_seen(Run, where, *values, only=only, beside=beside)
    waits = any(State.QUEUED in row for row in rows)
    return stamp_of(rows, every=SOON if waits else LATER)


def stamp_of_queue(project_id: int, _row: int = 0) -> str:
    """The same of all of a project's that are not over, and of the workers; what their clocks say is looked at now and then."""
    where = "WHERE project_id = %s AND ended_at IS NULL ORDER BY runs_run.id"
    return stamp_of_runs(where, project_id, only=IN_QUEUE, beside=WORKERS)


def waiting_reason(run: Run) -> str:
    """Why a queued run has not started, as a short phrase; empty when it is not queued."""
    return waiting_reasons([run]).get(run.pk, "")


def waiting_reasons(runs: Iterable[Run]) -> dict[int, str]:
    """The same for many runs in the same few queries; only queued ones have one."""
    queued = [run for run in runs if run.state == State.QUEUED]
    if not queued:
        return {}
    unmet, later = unmet_needs(queued), put_off(queued)
    lines = {name: places(name) for name in {run.queue for run in queued}}
    served = set(live_workers().values_list("queue", flat=True))
    silent = silent_bells(lines)
    reasons = {}
    for run in queued:
        if names := unmet.get(run.pk):
            reasons[run.pk] = _("waits for {runs}").format(runs=_(" and ").join(names))
        elif run.pk in later:
            reasons[run.pk] = _("is tried again at {time} UTC").format(
                time=f"{run.not_before:%H:%M:%S}"
            )
        elif run.queue in silent:
            reasons[run.pk] = _("the broker is away; it starts when the broker is back")
        elif run.queue not in served:
            reasons[run.pk] = _("no worker is running")
        elif run.outgrew_gib and not has_larger_worker(run):
            reasons[run.pk] = _("no worker has more than {gib} GiB of memory").format(
                gib=f"{run.outgrew_gib:g}"
            )
        else:
            reasons[run.pk] = place_in_words(lines[run.queue].get(run.pk, 0))
    first = [pk for pk, reason in reasons.items() if reason == place_in_words(0)]
    return reasons | dict.fromkeys(overlooked(first), _(OVERLOOKED))


def unmet_needs(runs: Collection[Run]) -> dict[int, list[str]]:
    """Names of the runs that each of these still waits for."""
    rows = RunNeed.objects.filter(run__in=runs).exclude(needs__state=State.SUCCEEDED)
    unmet: dict[int, list[str]] = defaultdict(list)
    for run, name in rows.order_by("pk").values_list("run_id", "needs__name"):
        unmet[run].append(name)
    return unmet


def put_off(runs: Collection[Run]) -> set[int]:
    """Those that may not start yet, by the database's clock."""
    later = Run.objects.filter(pk__in=[run.pk for run in runs], not_before__gt=Now())
    return set(later.values_list("pk", flat=True))


def overlooked(firsts: Collection[int]) -> set[int]:
    """Those of the next in line that could have started long ago, by the database's clock."""
    if not firsts:
        return set()
    then = after(-LONG)
    queued = RunEvent.objects.filter(run=OuterRef("pk"), to_state=State.QUEUED, at__gt=then)
    ready = RunNeed.objects.filter(run=OuterRef("pk"), needs__ended_at__gt=then)
    runs = Run.objects.filter(pk__in=firsts, created_at__lt=then)
    runs = runs.exclude(not_before__gt=then).exclude(Exists(queued)).exclude(Exists(ready))
    return set(runs.values_list("pk", flat=True))


def places(queue_name: str) -> dict[int, int]:
    """How many runs go before each claimable one: those at work, and those ahead in the queue."""
    at_work = Run.objects.live().filter(queue=queue_name, ended_at__isnull=True).count()
    line = Run.objects.claimable(queue_name).values_list("pk", flat=True)
    return {run: at_work + place for place, run in enumerate(line)}


def place_in_words(ahead: int) -> str:
    """A place in the queue as a phrase."""
    if not ahead:
        return _("starts in a moment")
    return ngettext("{n} run ahead", "{n} runs ahead", ahead).format(n=ahead)


def has_larger_worker(run: Run) -> bool:
    """Whether somebody serves the run's queue who has more memory than the run was too large for."""
    workers = live_workers().filter(queue=run.queue)
    return any(worker.memory_gib > (run.outgrew_gib or 0) for worker in workers)


def live_workers() -> QuerySet[Worker]:
    """Workers that were heard of within a lease and take runs; each knows whether it has had one."""
    live = Worker.objects.filter(Q(last_seen__gt=after(-settings.RUN_LEASE)), draining=False)
    return live.annotate(served=Exists(Run.objects.filter(worker=OuterRef("pk"))))
