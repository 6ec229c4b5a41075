"""What researchers do with tasks in the queue: asked again, given to somebody, sent back, asked of more, or of nobody more."""

from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.labeling import queue
from webapp.labeling.banding import put_in_band
from webapp.labeling.bands import Band
from webapp.labeling.checks import take_place_besides
from webapp.labeling.following import follow_answers
from webapp.labeling.models import Assignment, Label, Task, TaskQuerySet
from webapp.labeling.services import LabelingError, adapt_need_of, draft_of
from webapp.projects.models import Project
from webapp.site.clock import after
from webapp.site.deadlocks import again_after_deadlock

State = Assignment.State


@again_after_deadlock
@transaction.atomic
def change_tasks(
    project: Project,
    *,
    by: User | None,
    act: str,
    tasks: Sequence[int],
    need: int | None = None,
    person: User | None = None,
) -> int:
    """Do what the page of tasks offers: one of the functions below, or a band; how many tasks that has changed."""
    number = _change(project, act, tasks, need, person)
    if number:
        record_act(
            Act.TASKS_CHANGED,
            by,
            project=project.pk,
            what=act,
            tasks=number,
            need=need,
            person=person.pk if person else None,
        )
    return number


def _change(
    project: Project, act: str, tasks: Sequence[int], need: int | None, person: User | None
) -> int:
    if act == "again":
        return ask_again(project, tasks)
    if act == "more" and need:
        return ask_more(project, tasks, need)
    if act == "person" and person:
        return ask_person(project, tasks, person)
    if act in Band.values:
        return put_in_band(project, tasks, Band(act))
    return ask_nobody(project, tasks)


@again_after_deadlock
@transaction.atomic
def ask_again(project: Project, tasks: Sequence[int]) -> int:
    """Hand out tasks that were put aside, to those who skipped them too; how many were."""
    aside = _locked(project, tasks).filter(skips__gt=0)
    found = list(aside.values_list("pk", flat=True))
    skipped = Assignment.objects.filter(task__in=found, state=State.SKIPPED)
    skipped.update(state=State.EXPIRED, skip_id=None)
    return Task.every.filter(pk__in=found).let_open(skips=0)


@again_after_deadlock
@transaction.atomic
def ask_more(project: Project, tasks: Sequence[int], need: int) -> int:
    """Let tasks have so many labels, those that would have fewer; how many did."""
    fewer = _locked(project, tasks).filter(need__lt=need, repeat_of=None)
    return Task.every.filter(pk__in=list(fewer.values_list("pk", flat=True))).let_open(need=need)


@again_after_deadlock
@transaction.atomic
def ask_nobody(project: Project, tasks: Sequence[int]) -> int:
    """Let tasks be over with the labels they have and those that people are at; how many had free places."""
    free = _locked(project, tasks).filter(taken__lt=F("need"))
    return Task.every.filter(pk__in=list(free.values_list("pk", flat=True))).update(need=F("taken"))


@again_after_deadlock
@transaction.atomic
def ask_person(project: Project, tasks: Sequence[int], person: User) -> int:
    """Keep a place in each of these tasks for one person, one more than it needs where none is free.

    How many they were given: what they answered already or are at is left out. Raises LabelingError for who is
    no member of the project.
    """
    if not project.memberships.filter(user=person, user__is_active=True).exists():
        raise LabelingError(_("%(name)s is not in this project.") % {"name": person.shown_name})
    queue.lock(person)
    found = list(_locked(project, tasks).values_list("pk", flat=True))
    mine = {one.task_id: one for one in Assignment.objects.filter(task__in=found, annotator=person)}
    busy = {task for task, one in mine.items() if one.state in queue.HOLDING}
    for task in Task.every.filter(pk__in=set(found) - busy):
        _reserve(task, mine.get(task.pk) or Assignment(task=task, annotator=person))
    return len(set(found) - busy)


def _reserve(task: Task, assignment: Assignment) -> None:
    """Keep a place in the task, which is locked, for who has this assignment."""
    if assignment.state == State.SKIPPED:
        Task.every.filter(pk=task.pk).let_open(skips=Greatest(F("skips") - 1, 0))
    take_place_besides(task.pk)
    assignment.slot = queue.free_slot(task, like=assignment.slot)
    assignment.state, assignment.named = State.RESERVED, True
    assignment.lease_until = after(0)
    assignment.save()


@again_after_deadlock
@transaction.atomic
def send_back(label: Label, note: str, *, by: User | None = None) -> Assignment:
    """Give an answer back to who gave it, with a word: it speaks no more, and its place waits for them.

    Raises LabelingError where it does not speak.
    """
    queue.lock(label.annotator)
    assignment = Assignment.objects.locked().get(pk=label.assignment_id)
    spoken = Label.every.current().filter(pk=label.pk)
    counted = spoken.filter(counted=True).exists()
    if not spoken.update(retracted=True, counted=False):
        raise LabelingError(_("That answer was taken back or replaced meanwhile."))
    if counted:
        Task.every.filter(pk=label.task_id).update(done=F("done") - 1)
    else:
        take_place_besides(label.task_id)
    assignment.state, assignment.named, assignment.note = State.RESERVED, True, note
    assignment.draft = draft_of(label)
    assignment.lease_until = after(0)
    assignment.save(update_fields=["state", "named", "note", "draft", "lease_until"])
    Label.every.mark_disputes([label.task_id])
    follow_answers(label.task)
    adapt_need_of(assignment)
    project, task = label.task.project_id, label.task_id
    record_act(Act.LABEL_SENT_BACK, by, project=project, about=label.pk, task=task)
    return assignment


def _locked(project: Project, tasks: Iterable[int]) -> TaskQuerySet:
    """Those of these tasks that are the project's, locked until the end of the transaction."""
    found = Task.objects.filter(project=project, pk__in=list(tasks)).order_by("pk")
    return found.select_for_update(of=("self",))
