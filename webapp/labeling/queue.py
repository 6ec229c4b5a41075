"""Who gets which task: leases handed out, extended and given back, each in one short transaction.

Locks are always taken in the order annotator, task, assignment; SQLite takes one lock for all
when a transaction begins.
"""

from collections.abc import Collection, Iterable
from itertools import count as counting
from typing import NamedTuple

from django.db import OperationalError, connection, transaction
from django.db.models import Case, F, Subquery, When

from webapp.accounts.models import User
from webapp.labeling.models import Assignment, AssignmentQuerySet, Task
from webapp.projects.models import Project
from webapp.site.clock import after
from webapp.site.deadlocks import again_after_deadlock
from webapp.site.returning import Change, Returning
from webapp.site.writers import in_turn

SHOWN, AHEAD = 600.0, 120.0  # seconds, by the database's clock
CARDS = 4  # the one that is shown and the three next ones
BATCH = 50
State = Assignment.State
HOLDING = (State.LEASED, State.SUBMITTED)
OF_TASK = "FROM labeling_assignment WHERE task_id = labeling_task.id"
HELD = "AND state IN ('leased', 'submitted')"
SLOTS = f"(SELECT count(*) {OF_TASK} {HELD}), (SELECT max(slot) {OF_TASK} {HELD}), (SELECT count(*) {OF_TASK})"


class Taken(NamedTuple):
    """A task in which a place was taken, and what is there of it already."""

    task_id: int
    size: int
    holders: int
    last_slot: int | None
    assignments: int

    @property
    def next_slot(self) -> int | None:
        """The lowest free slot, where every assignment holds one and none below the last is free."""
        in_row = self.holders == self.assignments == (self.last_slot or 0) + bool(self.holders)
        return self.holders if in_row else None


class Hand(NamedTuple):
    """What somebody holds: leases they had, all prolonged, and those that were added."""

    held: list[int]
    fresh: list[Assignment]


def _prolonged(annotator: int, project: int, shown: int) -> Change:
    """No lease is made shorter but the shown one's, which begins anew."""
    until = Case(
        When(pk=shown, then=after(SHOWN)),
        When(lease_until__lt=after(AHEAD), then=after(AHEAD)),
        default=F("lease_until"),
    )
    held = Assignment.objects.held_by(User(pk=annotator)).filter(task__project=project)
    return held, {"lease_until": until}


def _best_taken(annotator: int, project: int) -> Change:
    """A place is taken in the best open task; its row stays locked, and locked ones are passed over."""
    open_ = Task.every.open_for(Project(pk=project), User(pk=annotator))
    best = open_.select_for_update(skip_locked=True).values("pk")[:1]
    return Task.every.filter(pk=Subquery(best)), {"taken": F("taken") + 1}


PROLONG = Returning("id", _prolonged)
TAKE_BEST = Returning(f"id, size, {SLOTS}", _best_taken, index="task_free")


def claim(project: Project, annotator: User) -> Assignment | None:
    """The task this person works on, or else the best open one; None when nothing is open."""
    return next(iter(claim_page(project, annotator, count=1)), None)


@in_turn
@again_after_deadlock
@transaction.atomic
def claim_page(project: Project, annotator: User, count: int = CARDS) -> list[Assignment]:
    """Up to `count` leases of this person: the ones already held, then the best open tasks."""
    lock(annotator)
    hand = fill_hand(project, annotator, count)
    return [*cards_of(annotator, hand.held[:count]), *hand.fresh]


def fill_hand(
    project: Project, annotator: User, count: int = CARDS, *, shown: int | None = None
) -> Hand:
    """Prolong what this person holds in the project, and lease the best open tasks up to `count`.

    Their row is locked by this transaction. The lease of the pair that is `shown` to them is longer:
    without one, that of the oldest.
    """
    held = sorted(pk for (pk,) in PROLONG(annotator.pk, project.pk, shown or 0))
    if held and not shown:
        PROLONG(annotator.pk, project.pk, held[0])
    fresh: list[Assignment] = []
    while len(held) + len(fresh) < count and (taken := _take_next(project, annotator)):
        fresh.append(_lease(taken, annotator, SHOWN if not held and not fresh else AHEAD))
    return Hand(held, fresh)


def lock(annotator: User) -> None:
    """Let two tabs of one person act one after the other, so that they share their leases.

    SQLite has locked everything already, as it began to write.
    """
    if connection.features.has_select_for_update:
        row = User.objects.select_for_update(no_key=True).filter(pk=annotator.pk)
        row.values_list("pk").get()


def cards_to_see(project: Project, annotator: User) -> list[Assignment]:
    """The cards for who opens the page: while another program writes, those that they hold already."""
    try:
        return claim_page(project, annotator)
    except OperationalError:
        held = Assignment.objects.held_by(annotator).filter(task__project=project)
        if not (cards := list(held.with_prompts()[:CARDS])):
            raise
        return cards


def cards_of(
    annotator: User, ids: Collection[int], project: Project | None = None
) -> list[Assignment]:
    """These assignments of a person, in whatever state, so that an answer to them can be mended."""
    if not ids:
        return []
    mine = Assignment.objects.filter(annotator=annotator, pk__in=ids).with_prompts().order_by("pk")
    return list((mine if project is None else mine.filter(task__project=project))[:CARDS])


def give_back(overdue: AssignmentQuerySet) -> int:
    """Expire leases and free their places; the number expired, at most a batch at a time."""
    tasks = sorted(set(overdue.values_list("task", flat=True)[:BATCH]))
    return sum(_give_back_of(task, overdue) for task in tasks)


def give_back_all(held: AssignmentQuerySet) -> int:
    """Expire all of these leases, however many; their number."""
    total = 0
    while expired := give_back(held):
        total += expired
    return total


@again_after_deadlock
@transaction.atomic
def _give_back_of(task_id: int, overdue: AssignmentQuerySet) -> int:
    task = Task.every.filter(pk=task_id)
    task.select_for_update().get()
    expired = overdue.filter(task=task_id).update(state=State.EXPIRED)
    task.update(taken=F("taken") - expired)
    return expired


def _take_next(project: Project, annotator: User) -> Taken | None:
    """A place in the best open task.

    Where nothing is open, what nobody extended in time is given back at once: `tend` comes too late.
    """
    while not (taken := TAKE_BEST(annotator.pk, project.pk)):
        overdue = Assignment.objects.overdue().filter(task__project=project)
        if not give_back(overdue.exclude(annotator=annotator)):
            return None
    return Taken(*taken[0])


def take_place(task: Task) -> bool:
    """Take one of the task's places, if one is free."""
    free = Task.every.filter(pk=task.pk, taken__lt=F("need"))
    return bool(free.update(taken=F("taken") + 1))


def _lease(taken: Taken, annotator: User, seconds: float) -> Assignment:
    """A lease on a task whose place is taken."""
    if taken.next_slot is None:
        assignment = _found_again(taken, annotator)
    else:
        assignment = Assignment(task_id=taken.task_id, annotator=annotator, slot=taken.next_slot)
    assignment.state = State.LEASED
    assignment.lease_until = after(seconds)
    assignment.save()
    return assignment


def _found_again(taken: Taken, annotator: User) -> Assignment:
    """The expired assignment of the same person, else a new one, in the lowest slot that is free."""
    there = list(Assignment.objects.filter(task=taken.task_id).order_by("pk"))
    mine = next((each for each in there if each.annotator_id == annotator.pk), None)
    assignment = mine or Assignment(task_id=taken.task_id, annotator=annotator)
    assignment.slot = _lowest_free(taken.size, there, like=mine.slot if mine else None)
    return assignment


def free_slot(task: Task, *, like: int | None = None) -> int:
    """The lowest slot nobody holds; `like` an earlier one, so that the order stays the same."""
    return _lowest_free(task.size, task.assignments.filter(state__in=HOLDING), like=like)


def _lowest_free(size: int, assignments: Iterable[Assignment], *, like: int | None) -> int:
    """The lowest slot that none of a task's assignments holds, which shows so many items."""
    held = {each.slot for each in assignments if each.state in HOLDING}
    orders = max(size, 1)
    numbers = counting() if like is None else counting(like % orders, orders)
    return next(slot for slot in numbers if slot not in held)
