"""Who gets which task: leases handed out, extended and given back, each in one short transaction.

Locks are always taken in the order annotator, task, assignment; SQLite takes one lock for all
when a transaction begins.
"""

from collections.abc import Collection, Iterable
from itertools import count as counting

from django.db import OperationalError, transaction
from django.db.models import Case, F, Q, When

from webapp.accounts.models import User
from webapp.labeling.models import Assignment, AssignmentQuerySet, Task
from webapp.projects.models import Project
from webapp.site.clock import after
from webapp.site.deadlocks import again_after_deadlock

SHOWN, AHEAD = 600.0, 120.0  # seconds, by the database's clock
CARDS = 4  # the one that is shown and the three next ones
BATCH = 50
State = Assignment.State
HOLDING = (State.LEASED, State.SUBMITTED)


def claim(project: Project, annotator: User) -> Assignment | None:
    """The task this person works on, or else the best open one; None when nothing is open."""
    return next(iter(claim_page(project, annotator, count=1)), None)


@again_after_deadlock
def claim_page(project: Project, annotator: User, count: int = CARDS) -> list[Assignment]:
    """Up to `count` leases of this person: the ones already held, then the best open tasks."""
    give_back(Assignment.objects.overdue().exclude(annotator=annotator))
    with transaction.atomic():
        # Two tabs of one person claim one after the other, so that they share their leases.
        User.objects.select_for_update(no_key=True).get(pk=annotator.pk)
        held = Assignment.objects.held_by(annotator).filter(task__project=project)
        cards = list(held.with_prompts()[:count])
        while len(cards) < count and (task := _take_next(project, annotator)):
            cards.append(_lease(task, annotator))
        if cards:
            _prolong(held, [card.pk for card in cards], shown=cards[0].pk)
    return cards


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
    mine = Assignment.objects.filter(annotator=annotator, pk__in=ids).with_prompts().order_by("pk")
    return list((mine if project is None else mine.filter(task__project=project))[:CARDS])


def extend(annotator: User, ids: Collection[int], *, shown: int | None = None) -> set[int]:
    """Prolong leases, the shown one's for longer; the ids of those this person still holds."""
    held = Assignment.objects.held_by(annotator)
    _prolong(held, ids, shown=shown)
    return set(held.filter(pk__in=ids).values_list("pk", flat=True))


def _prolong(held: AssignmentQuerySet, ids: Collection[int], *, shown: int | None) -> None:
    """No lease is made shorter but the shown one's, which begins anew."""
    until = Case(When(pk=shown, then=after(SHOWN)), default=after(AHEAD))
    soon = Q(lease_until__lt=after(AHEAD)) | Q(pk=shown)
    held.filter(soon, pk__in=ids).update(lease_until=until)


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
    task = Task.objects.filter(pk=task_id)
    task.select_for_update().get()
    expired = overdue.filter(task=task_id).update(state=State.EXPIRED)
    task.update(taken=F("taken") - expired)
    return expired


def _take_next(project: Project, annotator: User) -> Task | None:
    """The best open task, with a place in it taken; its row stays locked."""
    tasks = Task.objects.open_for(project, annotator).select_related("prompt")
    task = tasks.select_for_update(skip_locked=True, of=("self",)).first()
    return task if task and take_place(task) else None


def take_place(task: Task) -> bool:
    """Take one of the task's places, if one is free."""
    free = Task.objects.filter(pk=task.pk, taken__lt=F("need"))
    return bool(free.update(taken=F("taken") + 1))


def _lease(task: Task, annotator: User) -> Assignment:
    """A lease on a task whose place is taken; an expired one of the same person is used again."""
    there = list(task.assignments.order_by("pk"))
    mine = next((each for each in there if each.annotator_id == annotator.pk), None)
    assignment = mine or Assignment(task=task, annotator=annotator)
    assignment.task = task
    assignment.slot = _lowest_free(task, there, like=mine.slot if mine else None)
    assignment.state = State.LEASED
    assignment.lease_until = after(AHEAD)
    assignment.save()
    return assignment


def free_slot(task: Task, *, like: int | None = None) -> int:
    """The lowest slot nobody holds; `like` an earlier one, so that the order stays the same."""
    return _lowest_free(task, task.assignments.filter(state__in=HOLDING), like=like)


def _lowest_free(task: Task, assignments: Iterable[Assignment], *, like: int | None) -> int:
    """The lowest slot that none of a task's assignments holds."""
    held = {each.slot for each in assignments if each.state in HOLDING}
    orders = max(task.size, 1)
    numbers = counting() if like is None else counting(like % orders, orders)
    return next(slot for slot in numbers if slot not in held)
