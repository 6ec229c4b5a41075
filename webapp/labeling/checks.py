"""Tasks that check who answers: known answers (gold), and silent repeats of what somebody has answered."""

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db.models import Exists, F, Max, OuterRef
from django.db.models.functions import Greatest

from webapp.accounts.models import User
from webapp.labeling.letters import words_in_letters
from webapp.labeling.models import Assignment, Gold, Label, Task, TaskItem
from webapp.labeling.restrictions import Restriction
from webapp.projects.models import Project
from webapp.site.words import Words

GAP = 20  # labels of a person at least between an answer and its repeat


class Due(NamedTuple):
    """A task in which a place was taken for one person."""

    task_id: int
    size: int


class Heard(NamedTuple):
    """What somebody hears of a check they have answered."""

    right: bool
    expected: Words
    explanation: str


def make_gold(
    task: Task, known: Mapping[str, Any], *, by: User, explanation: str | None = None
) -> Gold:
    """Let a task be a check of known answer (`answer`, `order`, `verdict`), or know its answer better."""
    newest = Label.every.filter(project=task.project_id).aggregate(pk=Max("pk"))["pk"] or 0
    new = {"by": by, "after": newest, "explanation": explanation or ""}
    told = {} if explanation is None else {"explanation": explanation}
    gold, _created = Gold.objects.update_or_create(
        task=task, defaults=dict(known) | told, create_defaults=dict(known) | new
    )
    return gold


def end_gold(task: Task) -> bool:
    """Let a task be no check any more; whether it was one."""
    return bool(Gold.objects.filter(task=task).delete()[0])


def take_due(project: Project, annotator: User, only: Restriction) -> Due | None:
    """A check for this person, if chance says that one is due, in a transaction that holds their row."""
    return _due_gold(project, annotator, only) or _due_repeat(project, annotator, only)


def _is_due(every: int) -> bool:
    return every > 0 and secrets.randbelow(every) == 0


def _due_gold(project: Project, annotator: User, only: Restriction) -> Due | None:
    """A place more in the oldest task of known answer that this person has never had."""
    if not _is_due(project.gold_every):
        return None
    mine = Assignment.objects.filter(task=OuterRef("task"), annotator=annotator)
    known = Gold.objects.filter(~Exists(mine), only.matches("task__"), task__project=project)
    known = known.order_by("pk")
    if found := known.values_list("task", "task__size").first():
        take_place_besides(found[0])
        return Due(*found)
    return None


def take_place_besides(task_id: int) -> None:
    """Take a place in a task: a free one, or one more than it needs."""
    needed = Greatest(F("need"), F("taken") + 1)
    Task.every.filter(pk=task_id).update(need=needed, taken=F("taken") + 1)


def _due_repeat(project: Project, annotator: User, only: Restriction) -> Due | None:
    """A new task like one that this person answered a while ago, shown the other way round."""
    if not _is_due(project.repeat_every):
        return None
    label = _to_repeat(project, annotator, only)
    return _repeat_of(label) if label else None


def _to_repeat(project: Project, annotator: User, only: Restriction) -> Label | None:
    """The newest answer that lies far enough back and was not asked for again."""
    mine = Label.objects.current().filter(annotator=annotator, project=project).order_by("-pk")
    mark = mine.values_list("pk", flat=True)[GAP - 1 : GAP].first()
    repeated = Task.every.filter(repeat_of=OuterRef("task"), assignments__annotator=annotator)
    found = mine.filter(~Exists(repeated), pk__lt=mark or 0, task__repeat_of=None, task__gold=None)
    return found.filter(only.matches("task__")).select_related("task").first()


def _repeat_of(label: Label) -> Due:
    task, size = label.task, label.task.size
    again = Task.every.create(
        project_id=task.project_id,
        kind=task.kind,
        prompt_id=task.prompt_id,
        size=size,
        identity=f"repeat:{label.pk}",
        need=1,
        taken=1,
        key=secrets.randbits(62),
        flip=(label.order[0] + 1) % size if size else 0,
        repeat_of=task,
        language=task.language,
    )
    TaskItem.objects.bulk_create(
        TaskItem(task=again, place=item.place, completion_id=item.completion_id)
        for item in task.items.all()
    )
    return Due(again.pk, size)


def heard_of(label: Label) -> Heard | None:
    """What who gave this label hears of it, if its task has a known answer."""
    gold = Gold.objects.filter(task=label.task_id).first()
    if gold is None:
        return None
    expected = words_in_letters(label.task.asks, gold.answer, gold.order, seen=label.order)
    return Heard(gold.verdict == label.verdict, expected, gold.explanation)
