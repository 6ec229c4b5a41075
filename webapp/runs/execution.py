"""Claiming a run and driving it to the end of an epoch; every write is fenced by that epoch.

Called by the task; nothing here enqueues.
"""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from alignment.kinds import KINDS
from alignment.seam.errors import AlignmentError
from alignment.seam.events import (
    Checked,
    CheckpointSaved,
    Finished,
    Fitted,
    PhaseProgressed,
    PhaseStarted,
    Ready,
    SampleDrawn,
    StepDone,
)
from webapp.artifacts.store import keep
from webapp.machine import disk, processes
from webapp.queue.leases import LostLease
from webapp.runs import supervisor
from webapp.runs.folders import folder_of, forget_deleted, prepare
from webapp.runs.followers import Follower, tell_followers
from webapp.runs.forecasts import keep_forecast
from webapp.runs.kinds import half_of
from webapp.runs.models import (
    LIVE,
    Checkpoint,
    Intent,
    Run,
    RunMetric,
    RunSample,
    RunSpool,
    State,
    Worker,
)
from webapp.runs.points import keep_points
from webapp.runs.spool import Batch
from webapp.runs.supervisor import Outcome, Trainer
from webapp.runs.transitions import Change, move, note
from webapp.runs.verdict import DISK_IS_FULL, Verdict, judge
from webapp.runs.workers import gib
from webapp.site.errors import Refusal

BEST = 8  # candidates a claim tries: racing workers fall through to the next
UNCOUNTED = {"phase_done": 0.0, "phase_total": 0.0, "phase_unit": "", "phase_seconds": 0.0}

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """What people want of a run by now, and whether its worker is being shut down."""

    intent: str
    draining: bool


def claim(queue: str, worker: Worker) -> Run | None:
    """Take the best queued run of a queue for this worker; None when there is none to take."""
    change = Change((State.QUEUED,), State.STARTING, worker.name)
    fitting = Run.objects.claimable(queue).that_fit(worker)
    for candidate in list(fitting[:BEST]):
        columns = UNCOUNTED | {
            "state": change.to,
            "reason": "",
            "epoch": F("epoch") + 1,
            "worker": worker,
            "phase": "",
        }
        with transaction.atomic():
            if (run := fitting.take(candidate.pk, **columns)) is not None:
                note(run, change, State.QUEUED)
                _hold(run, worker)
                return run
    return None


def _hold(run: Run, worker: Worker) -> None:
    """Say which process has the run: when that has ended, nobody needs to wait for its lease."""
    holds = {"run": run.pk, "epoch": run.epoch, "process": processes.own_name()}
    Worker.objects.filter(pk=worker.pk).update(hardware=worker.hardware | {"holds": holds})


def execute(run: Run, followers: Sequence[Follower] = ()) -> None:
    """Drive a claimed run to the end of this epoch, or to the loss of its lease; tell its followers of its steps."""
    try:
        try:
            folder = prepare(run)
        except (Refusal, AlignmentError, OSError) as error:
            _conclude(run, _excuse(error))
            return
        server = run.config.get("engine") == "server"
        with (
            supervisor.launch(folder, asks_a_server=server) as trainer,
            shutdown_noticed() as shutdown,
        ):
            _drive(run, trainer, shutdown, followers)
            outcome = trainer.outcome()
            _stored(trainer, lambda: finish(run, outcome))
    except LostLease:
        logger.warning("run %s: epoch %s is no longer ours", run.pk, run.epoch)
    except OSError as error:
        _conclude(run, _excuse(error))


def _drive(
    run: Run, trainer: Trainer, shutdown: threading.Event, followers: Sequence[Follower]
) -> None:
    """Store what the trainer reports and pass on what people want, until it ends."""
    renewed = -math.inf
    while (batch := trainer.next_batch()) is not None:
        due = time.monotonic() - renewed > settings.RUN_RENEW
        if due or batch.events:
            wanted = _stored(trainer, partial(record, run, batch))
            trainer.confirm(batch)
            renewed = time.monotonic()
            for event in batch.of(StepDone)[-1:]:
                tell_followers(followers, event.step)
        else:
            wanted = _stored(trainer, lambda: _look(run))
        trainer.obey(wish(run, wanted, shutdown=shutdown.is_set()))
    if trainer.fence.fired.is_set():
        raise LostLease(run.pk)


def wish(run: Run, wanted: Wanted, *, shutdown: bool) -> str:
    """What to ask of the trainer: "save" and stop, stop "now", or nothing."""
    saves = KINDS[run.kind].can_save(run.config)
    if wanted.intent == Intent.CANCEL:
        return "now"
    if wanted.intent == Intent.PAUSE or wanted.draining or shutdown:
        return "save" if saves else "now"
    return ""


def _look(run: Run) -> Wanted:
    """Read what is wanted of the run without writing; raises LostLease."""
    row = Run.objects.mine(run).values_list("intent", "worker__draining").first()
    if row is None:
        raise LostLease(run.pk)
    return Wanted(row[0], bool(row[1]))


@transaction.atomic
def record(run: Run, batch: Batch) -> Wanted:
    """Store a batch of events and renew the lease; raises LostLease when the epoch is not ours.

    The fenced update comes first: it locks the row, so that no reaper comes between.
    """
    Run.objects.renew(run, **_progress(run, batch))
    if batch.end > batch.start and _first_time(run, batch):
        if batch.of(Ready):
            move(run, Change((State.STARTING,), State.RUNNING, str(run.worker)))
            keep_forecast(run)
        _import(run, batch)
    return _look(run)


def finish(run: Run, outcome: Outcome) -> None:
    """End the epoch by how its trainer ended; raises LostLease."""
    try:
        made = isinstance(outcome.last, Finished) and not run.dry
        output = keep(folder_of(run) / "output") if made else None
    except AlignmentError as error:
        text = f"The run's output is damaged: {error}"
        _conclude(run, Verdict(State.FAILED, error.code, text))
    except OSError as error:
        _conclude(run, _excuse(error))
    else:
        settle(run, outcome, output)


@transaction.atomic
def settle(run: Run, outcome: Outcome, output: Path | None) -> None:
    """Write the verdict; a success publishes its output in the same transaction, or not at all."""
    Run.objects.renew(run)
    verdict = judge(outcome, _look(run).intent, run.pk, run.config)
    if verdict.reason == "memory":
        most = max(gib(outcome.squeeze.room), run.worker.memory_gib if run.worker else 0)
        Run.objects.filter(pk=run.pk).update(outgrew_gib=most)
    if outcome.squeeze.held:
        run.forecast |= {"held": outcome.squeeze.held}
        Run.objects.filter(pk=run.pk).update(forecast=run.forecast)
    if verdict.to == State.SUCCEEDED and isinstance(outcome.last, Finished):
        run.summary = dict(outcome.last.summary)
        Run.objects.filter(pk=run.pk).update(summary=run.summary)
        if output is not None:
            half_of(run.kind).publish(run, output)
    _conclude(run, verdict)


def _conclude(run: Run, verdict: Verdict) -> None:
    """Write the verdict on a run of ours; raises LostLease."""
    change = Change(LIVE, verdict.to, str(run.worker), verdict.reason, verdict.message)
    resume = Checkpoint.objects.filter(run=run, deleted=False).order_by("-step", "-epoch").first()
    columns: dict[str, object] = {"resume_from": resume or run.resume_from}
    if verdict.reason in ("shutdown", "disk_full"):  # not one of the run's attempts
        columns["attempts"] = F("attempts") - 1
    if not move(run, change, only=Q(epoch=run.epoch), **columns):
        raise LostLease(run.pk)


@contextmanager
def shutdown_noticed() -> Iterator[threading.Event]:
    """An event set by SIGTERM, where this is a process's main thread; else never set."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.signal(signal.SIGTERM, lambda *_: flag.set())
    try:
        yield flag
    finally:
        signal.signal(signal.SIGTERM, before)


def _stored(trainer: Trainer, write: Callable[[], T]) -> T:
    """Retry a write while the database is away, until the fence says that the lease may be gone."""
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError, InternalError) as error:  # the last: it slept
            logger.warning("The database is away, trying again: %s", error)
            connection.close()
            if trainer.fence.fired.wait(settings.RUN_POLL):
                raise LostLease from error


def _excuse(error: Exception) -> Verdict:
    """What people are told of an error around the trainer; a bug is raised again."""
    if isinstance(error, Refusal):
        return Verdict(State.FAILED, "data", str(error))
    if isinstance(error, AlignmentError):
        return Verdict(State.FAILED, error.code, str(error))
    if disk.is_full(error):
        return Verdict(State.INTERRUPTED, "disk_full", DISK_IS_FULL)
    raise error


def _progress(run: Run, batch: Batch) -> dict[str, object]:
    """The columns of the run that a batch moves on."""
    columns: dict[str, object] = _told(run, batch)
    for event in batch.events:
        match event:
            case Ready(total_steps=total, resumed_step=step):
                columns |= {"total_steps": total, "step": step, "progress_at": Now()}
            case PhaseStarted(name=name):
                columns |= {**UNCOUNTED, "phase": name[:64], "progress_at": Now()}
            case PhaseProgressed():
                columns |= {**_counted(event), "progress_at": Now()}
            case StepDone(step=step, total=total):
                columns |= {"step": step, "total_steps": total, "progress_at": Now()}
    return columns


def _counted(event: PhaseProgressed) -> dict[str, object]:
    """The columns that say how far a run's phase is."""
    return {
        "phase_done": event.done,
        "phase_total": event.total,
        "phase_unit": event.unit[:32],
        "phase_seconds": event.seconds,
    }


def _told(run: Run, batch: Batch) -> dict[str, object]:
    """The run's summary with what is known before its end: receipts, where it starts, which rows fit."""
    found = [event for event in batch.events if isinstance(event, Checked | Fitted)]
    if not found:
        return {}
    summary = Run.objects.values_list("summary", flat=True).get(pk=run.pk)
    for event in found:
        if isinstance(event, Checked):
            summary |= event.model_dump(exclude={"type"}, exclude_none=True)
        else:
            others = [row for row in summary.get("rows", []) if row["role"] != event.role]
            summary["rows"] = [*others, event.counts]
    return {"summary": summary}


def _first_time(run: Run, batch: Batch) -> bool:
    """Move the spool on; false when this batch was stored before (a commit whose answer was lost)."""
    spool, _ = RunSpool.objects.get_or_create(run=run, epoch=run.epoch)
    here = RunSpool.objects.filter(pk=spool.pk, byte_offset=batch.start)
    return bool(here.update(byte_offset=batch.end))


def _import(run: Run, batch: Batch) -> None:
    if metrics := _metrics(run, batch.of(StepDone)):
        RunMetric.objects.bulk_create(
            metrics,
            update_conflicts=True,
            unique_fields=["run", "key", "step", "epoch"],
            update_fields=["value"],
        )
        keep_points(run)
    RunSample.objects.bulk_create(_sample(run, event) for event in batch.of(SampleDrawn))
    for event in batch.of(CheckpointSaved):
        _import_checkpoint(run, event)


def _metrics(run: Run, events: list[StepDone]) -> list[RunMetric]:
    """One row per key and step, the last one said; what is not a finite number becomes null."""
    rows = {
        (key[:64], event.step): value if math.isfinite(value) else None
        for event in events
        for key, value in event.metrics.items()
    }
    return [
        RunMetric(run=run, key=key, step=step, epoch=run.epoch, value=value)
        for (key, step), value in rows.items()
    ]


def _sample(run: Run, event: SampleDrawn) -> RunSample:
    reward = event.reward if event.reward is not None and math.isfinite(event.reward) else None
    return RunSample(
        run=run,
        epoch=run.epoch,
        step=event.step,
        stage=event.stage,
        prompt_key=event.prompt_key,
        prompt=event.prompt,
        completion=event.completion,
        reward=reward,
        agent=event.agent,
    )


def _import_checkpoint(run: Run, event: CheckpointSaved) -> None:
    """A checkpoint further than any before shows that the run gets on: its attempts start again."""
    known = Checkpoint.objects.filter(run=run)
    if not known.filter(step__gte=event.step).exists():
        Run.objects.filter(pk=run.pk).update(attempts=0)
    folder = folder_of(run) / Path(event.path).name  # only ever below the run's own folder
    known.update_or_create(
        run=run,
        epoch=run.epoch,
        step=event.step,
        defaults={
            "path": str(folder.relative_to(settings.STORE)),
            "manifest_sha256": event.manifest_sha256,
            "bytes": event.bytes,
        },
    )
    forget_deleted(run)
