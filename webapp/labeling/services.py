"""Writes of labelling: tasks queued, labels stored, taken back, skipped."""

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from webapp.accounts.models import User
from webapp.deadlocks import again_after_deadlock
from webapp.errors import Refusal
from webapp.labeling import queue
from webapp.labeling.models import Assignment, Completion, Label, Task
from webapp.projects.models import Project

State = Assignment.State
Pair = tuple[Completion, Completion]
BLOCK = (0, 0, 1, 1)
CHUNK = 500  # rows a statement


class LabelingError(Refusal):
    """A label, skip or task that cannot be stored, and why."""


@transaction.atomic
def create_compare_tasks(
    project: Project, pairs: Sequence[Pair], *, need: int, priority: int = 100
) -> int:
    """Queue pairs of answers to the same prompt; the number queued, known and equal ones aside."""
    ordered = [tuple(sorted(pair, key=lambda completion: completion.pk)) for pair in pairs]
    known = _known_tasks(project, [first for first, _ in ordered])
    flips: dict[tuple[int, ...], Iterator[int]] = defaultdict(_balanced_bits)
    tasks = {}
    for first, second in ordered:
        names = (first.pk, second.pk)
        if names in known or names in tasks or first.text.strip() == second.text.strip():
            continue
        if first.prompt_id != second.prompt_id:
            raise LabelingError("Only answers to the same prompt can be compared.")
        tasks[names] = Task(
            project=project,
            prompt_id=first.prompt_id,
            first=first,
            second=second,
            need=need,
            priority=priority,
            key=secrets.randbits(62),
            flip=_flip(first, second, flips),
        )
    Task.objects.bulk_create(tasks.values(), batch_size=CHUNK)
    return len(tasks)


def _known_tasks(project: Project, firsts: Sequence[Completion]) -> set[tuple[int, int]]:
    ids = sorted({completion.pk for completion in firsts})
    known: set[tuple[int, int]] = set()
    for start in range(0, len(ids), CHUNK):
        tasks = Task.objects.filter(project=project, first__in=ids[start : start + CHUNK])
        known.update(tasks.values_list("first", "second"))
    return known


def _balanced_bits() -> Iterator[int]:
    """Random bits, as many ones as zeros in each block."""
    while True:
        yield from secrets.SystemRandom().sample(BLOCK, len(BLOCK))


def _flip(
    first: Completion, second: Completion, flips: dict[tuple[int, ...], Iterator[int]]
) -> int:
    """The flip that lets each of two models stand left in half of their tasks."""
    models = (first.model_id or 0, second.model_id or 0)
    bit = next(flips[tuple(sorted(models))])
    return bit if models[0] <= models[1] else 1 - bit


@again_after_deadlock
@transaction.atomic
def submit_label(
    assignment: Assignment,
    *,
    client_id: UUID,
    choice: int,
    rationale: str = "",
    flags: Collection[str] = (),
    visible_ms: int | None = None,
) -> Label:
    """Store an answer once; a late one counts if its task still has a free place, else it is extra.

    A second answer to the same assignment is a revision: the newest one speaks.
    """
    assignment = _locked(assignment)
    stored = Label.objects.filter(annotator=assignment.annotator_id, client_id=client_id).first()
    if stored:
        return stored
    return Label.objects.create(
        task=assignment.task,
        assignment=assignment,
        annotator_id=assignment.annotator_id,
        client_id=client_id,
        choice=choice,
        left=assignment.left,
        right=assignment.right,
        rationale=rationale,
        flags=list(flags),
        visible_ms=visible_ms,
        counted=_answer(assignment),
    )


def _locked(assignment: Assignment) -> Assignment:
    """The assignment as it is now, its task locked before it."""
    Task.objects.select_for_update().get(pk=assignment.task_id)
    rows = Assignment.objects.with_texts()
    return rows.get(pk=assignment.pk)


def _answer(assignment: Assignment) -> bool:
    """Turn a lease into an answer; whether the answer counts."""
    if assignment.state == State.SUBMITTED:
        return _supersede(assignment)
    counts = assignment.state == State.LEASED or queue.take_place(assignment.task)
    if assignment.state != State.LEASED:
        assignment.slot = queue.free_slot(assignment.task, like=assignment.slot)
    if assignment.state == State.SKIPPED:
        Task.objects.filter(pk=assignment.task_id).update(skips=F("skips") - 1)
    assignment.state = State.SUBMITTED
    assignment.draft = {}
    assignment.save(update_fields=["state", "slot", "draft"])
    if counts:
        Task.objects.filter(pk=assignment.task_id).update(done=F("done") + 1)
    return counts


def _supersede(assignment: Assignment) -> bool:
    """Silence the assignment's current label; whether it counted."""
    spoke = assignment.labels.current().get()
    assignment.labels.current().update(superseded=True, counted=False)
    return spoke.counted


@again_after_deadlock
@transaction.atomic
def undo_label(
    annotator: User, client_id: UUID, *, project: Project | None = None
) -> Assignment | None:
    """Take a label back and lease its task to the same person again; None if it is not current.

    With a project, only a label of it.
    """
    found = Label.objects.current().filter(annotator=annotator, client_id=client_id)
    label = (found if project is None else found.filter(task__project=project)).first()
    if label is None:
        return None
    assignment = _locked(label.assignment)
    retracted = Label.objects.current().filter(pk=label.pk)
    counted = bool(retracted.filter(counted=True))
    if not retracted.update(retracted=True, counted=False):
        return None
    if counted:
        Task.objects.filter(pk=label.task_id).update(done=F("done") - 1)
    holds = counted or queue.take_place(assignment.task)
    assignment.state = State.LEASED if holds else State.EXPIRED
    assignment.lease_until = timezone.now() + queue.SHOWN
    assignment.draft = {"rationale": label.rationale, "flags": label.flags}
    assignment.save(update_fields=["state", "lease_until", "draft"])
    return assignment


@again_after_deadlock
@transaction.atomic
def save_draft(assignment: Assignment, draft: dict[str, object], *, at: int | None = None) -> None:
    """Keep what somebody wrote until `at` (ms since 1970), unless a newer draft or an answer is there."""
    known = Assignment.objects.select_for_update().get(pk=assignment.pk)
    now = int(1000 * timezone.now().timestamp())
    at = now if at is None else min(at, now)  # a clock that is ahead wins nothing
    if known.state != State.SUBMITTED and at >= known.draft.get("at", 0):
        Assignment.objects.filter(pk=known.pk).update(draft=draft | {"at": at})


@again_after_deadlock
@transaction.atomic
def skip(assignment: Assignment, reason: str = "", draft: dict[str, object] | None = None) -> None:
    """Give a task back, keep what was written, and never show it to this person again."""
    assignment = _locked(assignment)
    if assignment.state == State.SUBMITTED:
        raise LabelingError("You have already answered this pair; undo the answer to skip it.")
    task = Task.objects.filter(pk=assignment.task_id)
    if assignment.state == State.LEASED:
        task.update(taken=F("taken") - 1)
    if assignment.state != State.SKIPPED:
        task.update(skips=F("skips") + 1)
    assignment.state = State.SKIPPED
    assignment.skip_reason = reason
    assignment.draft = draft or assignment.draft
    assignment.save(update_fields=["state", "skip_reason", "draft"])


def extend_leases(annotator: User, ids: Collection[int], *, shown: int | None = None) -> set[int]:
    """Prolong the leases of cards in front of somebody; the ids of those they still hold."""
    return queue.extend(annotator, ids, shown=shown)


def expire_leases() -> int:
    """Give back the places of all leases nobody extended in time; their number."""
    return queue.give_back_all(Assignment.objects.overdue())
