"""An import in short transactions: begun, gone on with where it was stopped, whole at once; or swept.

Its rows name their intake (`projects/intakes.py`), so that nobody sees a part; its tasks are made at the end. One intake
of a project is on its way at a time: else one would build on rows of another that is swept.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, models, transaction

from webapp.datasets import standins
from webapp.datasets.errors import IntakeUnderWay
from webapp.datasets.imports.reading import Reading
from webapp.datasets.intake import Added, Plan, check_size, draft_part, take_part
from webapp.datasets.models import SWEPT, ComingRank, ComingTasks, Intake, Preference
from webapp.jobs.models import FINAL, Job, State
from webapp.labeling.cursors import lead_anew
from webapp.labeling.models import Assignment, Completion, Label, Task, identity_of
from webapp.labeling.services import PlacedAsk, insert_tasks, known_tasks
from webapp.projects.models import Project, Prompt
from webapp.queue.leases import LostLease
from webapp.site.batches import Batches
from webapp.site.clock import after
from webapp.site.deadlocks import again_after_deadlock

FIRST = 50  # prompts, or rows, of a first transaction
CHUNK = 2000  # rows of a statement that names each
LOOK = 0.2  # seconds between two looks whether another import is over
TURN = 5.0  # seconds that a tender sweeps before it does something else
Act = Callable[[Intake, int], int]  # takes up to so many rows, and says how many there were

logger = logging.getLogger(__name__)


def take_in(project: Project, reading: Reading, plan: Plan, *, keep: bool = True) -> Added:
    """Add what a file brings, and wait until all of it is there; what is there already stays as it is.

    Without `keep` it is swept again: what it would add is known then.
    """
    check_size(project, reading, plan)
    intake = _begin_when_free(project)
    try:
        for _ in store_parts(intake, reading, plan):
            continue
        if keep:
            complete_intake(intake)
    except BaseException:
        with suppress(DatabaseError):  # then a tender does it
            sweep_intake(intake)
        raise
    if keep:
        settle_intake(intake)
    else:
        sweep_intake(intake)
    return Added.of(intake.added)


def _begin_when_free(project: Project) -> Intake:
    while True:
        try:
            return begin_intake(project)
        except IntakeUnderWay:
            time.sleep(LOOK)


def begin_intake(project: Project, job: Job | None = None) -> Intake:
    """A new intake, or the job's own where it was stopped; raises IntakeUnderWay while there is another one."""
    if job is not None and (own := Intake.objects.filter(job=job, whole=True).first()):
        return own
    for whole in Intake.objects.unsettled().filter(project=project):
        settle_intake(whole)
    while (there := Intake.objects.filter(project=project, whole=False).first()) is not None:
        if job is not None and there.job_id == job.pk and there.taken != SWEPT:
            return there
        if not Intake.objects.left().filter(pk=there.pk).exists():
            raise IntakeUnderWay
        sweep_intake(there)
    with suppress(IntegrityError), transaction.atomic():
        return Intake.objects.create(project=project, job=job, lease_until=_lease())
    return begin_intake(project, job)  # another one was a moment earlier


def _lease() -> Any:  # noqa: ANN401 - an expression of the database
    return after(settings.JOB_LEASE)


def store_parts(intake: Intake, reading: Reading, plan: Plan) -> Iterator[int]:
    """Store what is not stored yet; how many prompts of the file are, after each transaction.

    Raises LostLease where somebody else goes on with it, or it was swept.
    """
    batches = Batches(FIRST, least=FIRST)
    left = islice(reading.prompts.items(), intake.taken, None)
    while part := dict(islice(left, batches.size)):
        drafts = draft_part(part)
        _take(batches, intake, partial(take_part, intake, part, drafts, plan), len(part))
        yield intake.taken


@again_after_deadlock
def _take(batches: Batches, intake: Intake, take: Callable[[], Added], size: int) -> None:
    with batches.turn():
        taken = intake.taken + size
        if not Intake.objects.of(intake).update(taken=taken, lease_until=_lease()):
            raise LostLease(intake.pk)
        added = Added.of(intake.added)
        added.count(take())
        stored = added.stored()
        Intake.objects.filter(pk=intake.pk).update(added=stored)
    intake.taken, intake.added = taken, stored


def complete_intake(intake: Intake) -> None:
    """Let everybody see all of it from now on; raises LostLease where it was swept."""
    if not Intake.objects.of(intake).update(whole=True):
        raise LostLease(intake.pk)


def settle_intake(intake: Intake) -> None:
    """Do what waited until all of an intake is there, and say so."""
    for _ in ready_parts(intake):
        continue
    end_intake(intake)


def ready_parts(intake: Intake) -> Iterator[int]:
    """Do what waited until all of it is there, its tasks last: only then are they handed out.

    How many rows that were, after each transaction.
    """
    return _turns(intake, READYING)


@transaction.atomic
def end_intake(intake: Intake) -> None:
    """Nothing is left to be done; a job that was stopped meanwhile says that all of it is there."""
    Intake.objects.filter(pk=intake.pk).update(settled=True)
    stopped = Job.objects.filter(intake=intake, state__in=(State.FAILED, State.CANCELLED))
    stopped.update(result={"kept": True})


def _turns(intake: Intake, steps: Sequence[Act]) -> Iterator[int]:
    """Take these steps in short transactions; after each but the last one how many rows it was until now."""
    batches, done, step = Batches(FIRST), 0, 0
    while step < len(steps):
        acted, over = _acted(batches, intake, steps[step:])
        if (step := step + over) < len(steps):
            yield (done := done + acted)


@again_after_deadlock
def _acted(batches: Batches, intake: Intake, steps: Sequence[Act]) -> tuple[int, int]:
    """One transaction, of nobody else at the same time; how many rows that were, and how many steps are over."""
    with batches.turn():
        there = Intake.objects.select_for_update().filter(pk=intake.pk, settled=False).first()
        left = most = batches.size
        for over, step in enumerate(steps if there else ()):
            left -= step(intake, left)
            if left <= 0:
                return most - left, over
    return most - left, len(steps)


def _every(model: type[models.Model]) -> models.QuerySet[Any]:
    """All rows, those that are coming too."""
    return model._base_manager.all()


def _in_chunks(act: Act) -> Act:
    """The same, for statements that name each of their rows."""

    def acted(intake: Intake, most: int) -> int:
        done = 0
        while done < most and (more := act(intake, min(CHUNK, most - done))):
            done += more
        return done

    return acted


@_in_chunks
def _count_labels(intake: Intake, most: int) -> int:
    labels = list(Label.every.filter(intake=intake).select_related("task").order_by("pk")[:most])
    if labels:
        standins.count_labels(labels)
        Label.every.filter(pk__in=[label.pk for label in labels]).update(intake=None)
    return len(labels)


@_in_chunks
def _give_ranks(intake: Intake, most: int) -> int:
    """Answers that were here without a rank get theirs."""
    coming = list(intake.ranks.select_related("completion").order_by("pk")[:most])
    if not coming:
        return 0
    ranked = []
    for row in coming:
        if row.completion.rank is None:
            row.completion.rank = row.rank
            row.completion.sampling |= {"ranking": row.ranking}
            ranked.append(row.completion)
    Completion.every.bulk_update(ranked, ["rank", "sampling"], batch_size=most)
    intake.ranks.filter(pk__lte=coming[-1].pk).delete()
    return len(coming)


def _make_tasks(intake: Intake, most: int) -> int:
    """Queue what was kept until now, but what somebody else has queued meanwhile, or of which an answer is gone."""
    made = 0
    while made < most and (first := intake.tasks.order_by("pk").first()):
        when = {"need": first.need, "priority": first.priority}
        alike = intake.tasks.filter(kind=first.kind, **when).order_by("pk")
        coming = list(alike[: max(1, (most - made) // max(1, len(first.placed)))])
        placed = [PlacedAsk(*one) for part in coming for one in part.placed]
        there = _answers_there({item for one in placed for item in one.items})
        named = {identity_of(first.kind, one.prompt_id, one.items): one for one in placed}
        known = known_tasks(list(named))
        new = [one for name, one in named.items() if name not in known and there >= {*one.items}]
        insert_tasks(intake.project, first.kind, new, **when)
        alike.filter(pk__lte=coming[-1].pk).delete()
        made += len(placed)
    return made


def _answers_there(keys: Collection[int]) -> set[int]:
    """Those of these answers that are there."""
    wanted, there = sorted(keys), set[int]()
    for start in range(0, len(wanted), CHUNK):
        found = Completion.every.filter(pk__in=wanted[start : start + CHUNK])
        there.update(found.values_list("pk", flat=True))
    return there


def sweep_intake(intake: Intake, until: float = math.inf) -> bool:
    """Remove what is stored of an intake that nobody goes on with; whether all of it is gone.

    It stops at this time of the monotonic clock.
    """
    if not Intake.objects.filter(pk=intake.pk, whole=False).update(taken=SWEPT):
        return True
    for _ in _turns(intake, SWEEPING):
        if time.monotonic() > until:
            return False
    logger.warning("Intake %s was stopped; what was stored of it is removed.", intake.pk)
    return True


def _say_swept(intake: Intake, _most: int) -> int:
    standins.forget_unused(intake.project)
    Job.objects.filter(intake=intake, state__in=FINAL).update(result={"swept": True})
    Intake.objects.filter(pk=intake.pk).delete()
    return 0


@_in_chunks
def _drop_labels(intake: Intake, most: int) -> int:
    rows = (
        Label.every.filter(intake=intake).order_by("pk").values_list("pk", "assignment_id")[:most]
    )
    labels = dict(rows)
    if not labels:
        return 0
    Label.every.filter(pk__in=labels).delete()
    Assignment.objects.filter(pk__in=labels.values()).delete()
    return len(labels)


def _shower(model: type[models.Model]) -> Act:
    """What takes the intake's name from some of its rows."""

    def show(intake: Intake, most: int) -> int:
        named = _every(model).filter(intake=intake)
        last = list(named.order_by("pk").values_list("pk", flat=True)[most - 1 : most])
        return (named.filter(pk__lte=last[0]) if last else named).update(intake=None)

    return show


def _dropper(model: type[models.Model]) -> Act:
    """What deletes some rows of the intake, none that somebody has made their own meanwhile."""

    @_in_chunks
    def drop(intake: Intake, most: int) -> int:
        rows = _every(model).select_for_update().filter(intake=intake)
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:most])
        if keys:
            _every(model).filter(pk__in=keys).delete()
        return len(keys)

    return drop


def _lead_to_tasks(intake: Intake, _most: int) -> int:
    """All of its tasks are handed out from now on, wherever they stand."""
    if Added.of(intake.added).tasks:
        lead_anew(intake.project)
    return 0


READYING: tuple[Act, ...] = (
    _give_ranks,
    _count_labels,
    _shower(Task),
    _make_tasks,
    _lead_to_tasks,
)
SWEEPING: tuple[Act, ...] = (
    _drop_labels,
    *map(_dropper, (ComingRank, ComingTasks, Task, Preference, Completion, Prompt)),
    _say_swept,
)


def tend_intakes() -> int:
    """Sweep what was left half-way, and end what was left whole; how many."""
    until = time.monotonic() + TURN
    left = sum(sweep_intake(intake, until) for intake in Intake.objects.left())
    whole = list(Intake.objects.unsettled().over())
    for intake in whole:
        settle_intake(intake)
    return left + len(whole)
