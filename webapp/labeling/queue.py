"""Who gets which task: leases handed out, extended and given back, each in one short transaction.

Locks are always taken in the order annotator, task, assignment; SQLite takes one lock for all
when a transaction begins.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import count as counting
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import Case, Exists, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from webapp.accounts.models import User
from webapp.labeling import checks, cursors
from webapp.labeling.models import (
    FIRST_PLACE,
    Assignment,
    AssignmentQuerySet,
    Label,
    Task,
    TaskQuerySet,
)
from webapp.labeling.queries import labelled_today
from webapp.labeling.restrictions import Restriction, kinds_handed_out, restriction_for
from webapp.projects.models import Project
from webapp.site.clock import after
from webapp.site.columns import all_columns, model_row
from webapp.site.deadlocks import again_after_deadlock
from webapp.site.planned import BY_INDEXES, planned_cursor
from webapp.site.returning import Change, Returning
from webapp.site.writers import in_turn

SHOWN, AHEAD = 600.0, 120.0  # seconds, by the database's clock
CARDS = 4  # the one that is shown and the three next ones
BATCH = 50
State = Assignment.State
KEPT = (State.LEASED, State.RESERVED)  # a place is theirs, to be answered
HOLDING = (State.LEASED, State.SUBMITTED, State.RESERVED)
OF_TASK = "FROM labeling_assignment WHERE task_id = labeling_task.id"
HELD = "AND state IN ('leased', 'submitted', 'reserved')"
WAITS = (
    "EXISTS (SELECT 1 FROM labeling_assignment waits"
    " WHERE waits.annotator_id = labeling_assignment.annotator_id AND waits.state = 'reserved')"
)
AT_PRIORITY, AT_KEY = (
    f"COALESCE((SELECT {column} FROM labeling_cursor WHERE annotator_id = {{0}} AND project_id = {{1}}), {first})"  # noqa: S608 - names of columns
    for column, first in zip(("priority", "key"), FIRST_PLACE, strict=True)
)
# How many of the first open tasks beyond the cursor stand before the one that was taken.
PASSED = f"""(
    SELECT count(*) FROM (
        SELECT priority, key FROM labeling_task V0 WHERE V0.project_id = {{1}}
        AND V0.taken < V0.need AND V0.intake_id IS NULL AND (V0.priority, V0.key) > ({AT_PRIORITY}, {AT_KEY})
        ORDER BY V0.priority, V0.key LIMIT {cursors.FAR}
    ) few WHERE (few.priority, few.key) < (labeling_task.priority, labeling_task.key)
)"""  # noqa: S608 - names of columns, and numbers
LOCKED = f"SELECT id, {BY_INDEXES} FROM accounts_user WHERE id = %s FOR NO KEY UPDATE"  # noqa: S608 - our own words
WAYS = 256  # restrictions whose statements a program keeps
SLOTS = f"(SELECT count(*) {OF_TASK} {HELD}), (SELECT max(slot) {OF_TASK} {HELD}), (SELECT count(*) {OF_TASK})"


ANSWERED = f"""
    SELECT project.third_if_two_differ,
        (SELECT id FROM labeling_label given WHERE given.annotator_id = mine.annotator_id AND given.client_id = %s),
        {all_columns(Assignment, "mine")}, {all_columns(Task, "task")}
    FROM labeling_assignment mine
    JOIN labeling_task task ON task.id = mine.task_id
    JOIN projects_project project ON project.id = task.project_id
    WHERE mine.id = %s AND mine.annotator_id = %s
"""  # noqa: S608 - names of columns
LOCKING = "FOR NO KEY UPDATE OF task, mine"
MINE = len(Assignment._meta.concrete_fields)


class Taken(NamedTuple):
    """A task in which a place was taken, and what is there of it already."""

    task_id: int
    size: int
    holders: int
    last_slot: int | None
    assignments: int
    passed: int = 0

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
    """No lease is made shorter but the shown one's, which begins anew: without one (0), the oldest's."""
    held = Assignment.objects.held_by(User(pk=annotator)).in_project(project)
    oldest = Subquery(held.values("pk")[:1])
    until = Case(
        When(pk=Coalesce(NullIf(Value(shown), Value(0)), oldest), then=after(SHOWN)),
        When(lease_until__lt=after(AHEAD), then=after(AHEAD)),
        default=F("lease_until"),
    )
    return held, {"lease_until": until}


def _best_taken(only: Restriction, annotator: int, project: int) -> Change:
    """A place is taken in the best open task, which stays locked: one that opened lately, else the next one."""
    whose = Project(pk=project), User(pk=annotator), only.matches()
    found = Task.every.opened_behind(*whose), Task.every.ahead_of(*whose)
    behind, ahead = (Subquery(_first_free(tasks)) for tasks in found)
    return Task.every.filter(pk=Coalesce(behind, ahead)), {"taken": F("taken") + 1}


def _first_free(tasks: TaskQuerySet) -> QuerySet[Task, Any]:
    """The first of these tasks, locked; those that somebody else has locked are passed over."""
    return tasks.select_for_update(skip_locked=True).values("pk")[:1]


def _reserved(only: Restriction, annotator: int, project: int) -> Change:
    """The oldest place that waits for this person is theirs to answer now."""
    waiting = Assignment.objects.filter(only.matches("task__"), annotator=annotator)
    waiting = waiting.filter(state=State.RESERVED)
    oldest = waiting.in_project(project).values("pk")[:1]
    leased = {"state": State.LEASED, "lease_until": after(AHEAD)}
    return Assignment.objects.filter(pk=Subquery(oldest)), leased


PROLONG = Returning(f"id, {WAITS}", _prolonged)


@lru_cache(WAYS)
def take_reserved(only: Restriction) -> Returning:
    """The statement that gives somebody a place which waits for them."""
    return Returning("id", partial(_reserved, only))


@lru_cache(WAYS)
def take_best(only: Restriction) -> Returning:
    """The statement that takes a place in the best task of those that this lets through."""
    indexes = ["task_opened", "task_free", "task_free"]
    return Returning(f"id, size, {SLOTS}, {PASSED}", partial(_best_taken, only), indexes=indexes)


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
    told = PROLONG(annotator.pk, project.pk, shown or 0)
    held = sorted(pk for pk, _ in told)
    room = room_today(project, annotator, count - len(held), len(held))
    fresh = list(_reserved_ones(project, annotator, room)) if waits_for(told) else []
    while len(fresh) < room and (one := _fresh(project, annotator, first=not held and not fresh)):
        fresh.append(one)
    return Hand(held, fresh)


def waits_for(told: Sequence[tuple[int, bool]]) -> bool:
    """Whether places may wait for the person, by what PROLONG told; who holds nothing is not known by it."""
    return not told or bool(told[0][1])


def room_today(project: Project, annotator: User, wanted: int, held: int) -> int:
    """How many cards of those wanted somebody may be given who holds some, by their project's daily quota."""
    if not project.daily_quota or wanted <= 0:
        return wanted
    left = project.daily_quota - labelled_today(annotator, project) - held
    return max(0, min(wanted, left))


def _reserved_ones(project: Project, annotator: User, room: int) -> Iterator[Assignment]:
    """The places that wait for this person, up to so many; whoever keeps one for them knows what they read."""
    take = take_reserved(Restriction(kinds_handed_out(project)))
    for _ in range(room):
        if not (taken := take(annotator.pk, project.pk)):
            return
        yield Assignment.objects.get(pk=taken[0][0])


def _fresh(project: Project, annotator: User, *, first: bool) -> Assignment | None:
    """A check or a repeat where one is due, else a place in the best open task; None where there is none."""
    seconds = SHOWN if first else AHEAD
    if due := checks.take_due(project, annotator, restriction_for(project, annotator)):
        return _lease(Taken(*due, -1, None, 0), annotator, seconds, named=True)
    taken = _take_next(project, annotator)
    return _lease(taken, annotator, seconds) if taken else None


def lock(annotator: User) -> None:
    """Let two tabs of one person act one after the other, so that they share their leases; what follows is planned by indexes.

    SQLite has locked everything already, as it began to write.
    """
    if connection.features.has_select_for_update:
        with planned_cursor() as cursor:
            cursor.execute(LOCKED, [annotator.pk])
            if cursor.fetchone() is None:
                raise User.DoesNotExist


def lock_answered(pk: int, annotator: User, client_id: UUID | None) -> Assignment | None:
    """One of this person's assignments, locked with its task, as `locked` has it; None where it is nobody's or another's.

    `stored` is the label to which they have given this name.
    """
    name = Label._meta.get_field("client_id").get_db_prep_value(client_id, connection)
    locking = LOCKING if connection.features.has_select_for_update else ""
    with planned_cursor() as cursor:
        cursor.execute(f"{ANSWERED} {locking}", [name, pk, annotator.pk])
        found = cursor.fetchone()
    if found is None:
        return None
    third, stored, *columns = found
    mine = cast("Assignment", model_row(Assignment, columns[:MINE]))
    mine.task = cast("Task", model_row(Task, columns[MINE:]))
    vars(mine).update(third=third, stored=stored)
    return mine


def cards_to_see(project: Project, annotator: User) -> list[Assignment]:
    """The cards for who opens the page: while another program writes, those that they hold already."""
    try:
        return claim_page(project, annotator)
    except OperationalError:
        held = Assignment.objects.held_by(annotator).filter(task__project=project)
        if not (cards := list(held[:CARDS])):
            raise
        return cards


def cards_of(
    annotator: User, ids: Collection[int], project: Project | None = None
) -> list[Assignment]:
    """These assignments of a person, in whatever state, so that an answer to them can be mended."""
    if not ids:
        return []
    mine = Assignment.objects.filter(annotator=annotator, pk__in=ids).order_by("pk")
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


def release(held: AssignmentQuerySet) -> int:
    """Give back all places that somebody holds, those that wait for them too; their number."""
    held.filter(state=State.LEASED).update(named=False)
    waiting = {"state": State.LEASED, "named": False, "lease_until": after(-1)}
    held.filter(state=State.RESERVED).update(**waiting)
    return give_back_all(held.filter(state=State.LEASED))


@again_after_deadlock
@transaction.atomic
def _give_back_of(task_id: int, overdue: AssignmentQuerySet) -> int:
    task = Task.every.filter(pk=task_id)
    task.select_for_update().get()
    here = overdue.filter(task=task_id)
    kept = here.filter(named=True).update(state=State.RESERVED)
    expired = here.filter(named=False).update(state=State.EXPIRED)
    if expired:
        task.let_open(taken=F("taken") - expired)
    return kept + expired


def _take_next(project: Project, annotator: User) -> Taken | None:
    """A place in the best open task.

    Where nothing is open, what nobody extended in time is given back at once: `tend` comes too late.
    """
    take = take_best(restriction_for(project, annotator))
    while not (found := take(annotator.pk, project.pk)):
        overdue = Assignment.objects.overdue().filter(task__project=project)
        freed = give_back(overdue.exclude(annotator=annotator))
        if not freed and not cursors.begin_again(project, annotator):
            return None
    taken = Taken(*found[0])
    if taken.passed == cursors.FAR:
        cursors.move_cursor(project, annotator)
    return taken


def adapt_need(task_id: int) -> None:
    """Ask a third person where two differ; no more where they agree again."""
    task = Task.every.filter(pk=task_id)
    disputed = Exists(Label.objects.disagreeing().filter(task=OuterRef("pk")))
    if not task.filter(disputed, raised=0, need=2, done=2).let_open(need=3, raised=1):
        task.filter(~disputed, raised=1, need=3, taken__lt=3).update(need=2, raised=0)


def take_place(task: Task) -> bool:
    """Take one of the task's places, if one is free."""
    free = Task.every.filter(pk=task.pk, taken__lt=F("need"))
    return bool(free.update(taken=F("taken") + 1))


def _lease(taken: Taken, annotator: User, seconds: float, *, named: bool = False) -> Assignment:
    """A lease on a task whose place is taken."""
    if taken.next_slot is None:
        assignment = _found_again(taken, annotator)
    else:
        assignment = Assignment(task_id=taken.task_id, annotator=annotator, slot=taken.next_slot)
    assignment.state, assignment.named = State.LEASED, named
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
