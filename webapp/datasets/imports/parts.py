"""An import in short transactions: begun, gone on with where it was stopped, whole at once; or swept.

Its rows name their intake (`projects/intakes.py`), so that nobody sees a part; its tasks are made at the end. One intake
of a project is on its way at a time: else one would build on rows of another that is swept.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, models, transaction

from webapp.audit.acts import Act as AuditAct
from webapp.audit.records import record_act
from webapp.datasets import standins
from webapp.datasets.errors import IntakeUnderWay
from webapp.datasets.imports.reading import PromptFound, Reading
from webapp.datasets.imports.sizes import check_size
from webapp.datasets.intake import BROUGHT, Added, Drafts, Plan, Portion, draft_part, take_part
from webapp.datasets.models import SWEPT, ComingRank, ComingTasks, Intake, Preference
from webapp.jobs.models import FINAL, Job, State
from webapp.labeling.cursors import lead_anew
from webapp.labeling.models import Assignment, Completion, Label, Task, identity_of
from webapp.labeling.services import PlacedAsk, insert_tasks, known_tasks
from webapp.projects.models import Project, Prompt
from webapp.queue.leases import LostLease
from webapp.site.batches import Batches, wide_cache
from webapp.site.clock import after
from webapp.site.deadlocks import again_after_deadlock
from webapp.site.threads import ahead

FIRST = 50  # prompts, or rows, of a first transaction
CHUNK = 2000  # rows of a statement that names each
DENSE = 4  # times as many rows are looked through together, instead of naming each
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
    with wide_cache(), closing(ahead(_drafted(left, plan, batches))) as parts:
        for part, drafts in parts:
            _take(batches, intake, partial(take_part, intake, part, drafts, plan), len(part))
            yield intake.taken


def _drafted(
    left: Iterator[tuple[str, PromptFound]], plan: Plan, batches: Batches
) -> Iterator[tuple[Portion, Drafts]]:
    """Parts of a file, as many prompts as a transaction is to have, with what they become."""
    while part := dict(islice(left, batches.size)):
        yield part, draft_part(part, plan)


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
    making = TaskMaking(intake)
    steps = (_give_ranks, _count_labels, _shower(Task), making.queue, _lead_to_tasks)
    return _turns(intake, steps, making.look_ahead)


@transaction.atomic
def end_intake(intake: Intake) -> None:
    """Nothing is left to be done; a job that was stopped meanwhile says that all of it is there.

    What came without a job is told as one that has ended.
    """
    ended = Intake.objects.filter(pk=intake.pk, settled=False).update(settled=True)
    if ended and intake.job_id is None:
        added = Added.of(intake.added)
        brought = {name: getattr(added, name) for name in BROUGHT}
        said = {"kind": "import", "state": State.DONE.value, **brought}
        record_act(AuditAct.JOB_ENDED, None, project=intake.project_id, **said)
    stopped = Job.objects.filter(intake=intake, state__in=(State.FAILED, State.CANCELLED))
    stopped.update(result={"kept": True})


def _turns(
    intake: Intake, steps: Sequence[Act], before: Callable[[int], object] | None = None
) -> Iterator[int]:
    """Take these steps in short transactions; after each but the last one how many rows it was until now.

    Whatever is to be done `before` each of them is told how many rows it will be.
    """
    batches, done, step = Batches(FIRST), 0, 0
    with wide_cache():
        while step < len(steps):
            if before is not None:
                before(batches.size)
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


@dataclass
class TaskMaking:
    """Queues what an intake kept until now; that is read before the transaction in which others wait."""

    intake: Intake
    coming: Sequence[ComingTasks] = ()  # of one kind, asked for alike
    named: Mapping[str, PlacedAsk] = field(default_factory=dict)

    def look_ahead(self, most: int) -> bool:
        """Read what is to be queued next, about so much; whether there is anything."""
        first = None if self.coming else self.intake.tasks.order_by("pk").first()
        if first is not None:
            part = max(1, most // max(1, len(first.placed)))
            self.coming = list(_alike(self.intake, first).order_by("pk")[:part])
            placed = (PlacedAsk(*one) for coming in self.coming for one in coming.placed)
            self.named = {identity_of(first.kind, one.prompt_id, one.items): one for one in placed}
        return bool(self.coming)

    def queue(self, intake: Intake, most: int) -> int:
        """Queue it, but what somebody else has queued meanwhile, or of which an answer is gone."""
        made = 0
        while made < most and self.look_ahead(most - made):
            first, named = self.coming[0], self.named
            there = answers_there({item for one in named.values() for item in one.items})
            known = tasks_known(named)
            new = {
                name: one
                for name, one in named.items()
                if name not in known and there.issuperset(one.items)
            }
            when = {"need": first.need, "priority": first.priority}
            insert_tasks(intake.project, first.kind, new, **when)
            _alike(intake, first).filter(pk__lte=self.coming[-1].pk).delete()
            made += sum(len(coming.placed) for coming in self.coming)
            self.coming = ()
        return made


def _alike(intake: Intake, first: ComingTasks) -> models.QuerySet[ComingTasks]:
    """What is asked for as this is."""
    return intake.tasks.filter(kind=first.kind, need=first.need, priority=first.priority)


def answers_there(wanted: Collection[int]) -> set[int]:
    """Those of these answers that are there."""
    keys = sorted(wanted)
    span = range(keys[0], keys[-1] + 1) if keys else range(0)
    if len(span) <= DENSE * len(keys):  # an import's stand together, and mostly all are there
        between = Completion.every.filter(pk__range=(span.start, span.stop - 1))
        if between.count() == len(span):
            return set(keys)
    there = set[int]()
    for start in range(0, len(keys), CHUNK):
        found = Completion.every.filter(pk__in=keys[start : start + CHUNK])
        there.update(found.values_list("pk", flat=True))
    return there


def tasks_known(named: Mapping[str, PlacedAsk]) -> set[str]:
    """Those of these names, of which there are some, that a task has already."""
    prompts = {one.prompt_id for one in named.values()}
    about = Task.every.filter(prompt__gte=min(prompts), prompt__lte=max(prompts))
    most = DENSE * len(named)  # an import's prompts stand together, and hardly any has a task
    there = list(about.values_list("identity", flat=True)[: most + 1])
    return {*there} & named.keys() if len(there) <= most else known_tasks(list(named))


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
