"""Content that a project warns of, by the tags of prompts: veiled until somebody shows it, and kept from who declines it.

A tag that somebody declines is a skip of its own kind, which nobody gives by hand and which is not counted: for
tasks that are there when they decline it, and for later ones when they would be handed out.
"""

from collections.abc import Collection, Iterable

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.labeling import queue
from webapp.labeling.models import DECLINED, Assignment, AssignmentQuerySet, Cursor, Task
from webapp.projects.models import Membership, Project, PromptTag
from webapp.site.deadlocks import again_after_deadlock

State = Assignment.State
BATCH = 500  # rows of a statement


def with_warnings(project: Project, cards: list[Assignment]) -> list[Assignment]:
    """The cards with what the project warns of in each; nothing is asked where it warns of nothing."""
    if not project.warned_tags or not cards:
        return cards
    prompts = [card.task.prompt_id for card in cards]
    tags = PromptTag.objects.filter(prompt__in=prompts, name__in=project.warned_tags)
    found: dict[int, list[str]] = {}
    for prompt, name in tags.values_list("prompt", "name"):
        found.setdefault(prompt, []).append(name)
    for card in cards:
        card.warnings = found.get(card.task.prompt_id, ())
    return cards


@transaction.atomic
def warn_of(project: Project, tags: Collection[str], *, by: User | None = None) -> None:
    """Let these be the tags that the project warns of."""
    Project.objects.filter(pk=project.pk).update(warned_tags=list(tags))
    record_act(Act.WARNINGS_SET, by, project=project.pk, about=project.pk, tags=", ".join(tags))


@again_after_deadlock
@transaction.atomic
def decline_tags(membership: Membership, tags: Collection[str]) -> None:
    """Offer a member no more tasks about prompts with these tags; those of tags declined before are offered again."""
    queue.lock(membership.user)
    Membership.objects.filter(pk=membership.pk).update(declined=list(tags))
    mine = Assignment.objects.filter(annotator=membership.user, task__project=membership.project)
    again = mine.filter(state=State.SKIPPED, skip_reason=DECLINED).exclude(
        _tagged("task__prompt", tags)
    )
    if again.update(state=State.EXPIRED, skip_reason=""):
        Cursor.objects.of(
            membership.project, membership.user
        ).delete()  # they are offered them again
    _put_aside(mine.filter(_tagged("task__prompt", tags), state__in=queue.KEPT))
    open_ = Task.objects.open_for(membership.project, membership.user).filter(
        _tagged("prompt", tags)
    )
    free = open_.exclude(Exists(mine.filter(task=OuterRef("pk"))))  # others were given back above
    Assignment.objects.bulk_create(
        (_declined(task, membership.user) for task in free.order_by().values_list("pk", flat=True)),
        batch_size=BATCH,
    )


def put_aside_declined(project: Project, annotator: User, held: Iterable[int]) -> bool:
    """Put those of somebody's assignments aside whose tags they decline; whether there were any.

    Whoever hands out tasks asks this and hands out again while it holds; in a project that warns of nothing it
    asks nothing.
    """
    if not project.warned_tags:
        return False
    member = Membership.objects.filter(project=project, user=annotator)
    tags = set(member.values_list("declined", flat=True).first() or ()) & set(project.warned_tags)
    mine = Assignment.objects.filter(pk__in=list(held), annotator=annotator, state__in=queue.KEPT)
    return bool(tags) and _put_aside(mine.filter(_tagged("task__prompt", tags)))


@again_after_deadlock
@transaction.atomic
def _put_aside(held: AssignmentQuerySet) -> bool:
    """Give places back that somebody holds, and never offer them the tasks again."""
    rows = list(held.order_by("task").values_list("pk", "task", "named"))
    for pk, task_id, named in rows:
        task = Task.every.filter(pk=task_id)
        task.select_for_update().get()
        columns = {"state": State.SKIPPED, "skip_reason": DECLINED, "named": False}
        if Assignment.objects.filter(pk=pk, state__in=queue.KEPT).update(**columns):
            task.let_open(taken=F("taken") - 1)
            if named:
                task.filter(repeat_of__isnull=False).update(need=F("taken"))  # it is nobody else's
    return bool(rows)


def _declined(task_id: int, annotator: User) -> Assignment:
    columns = {"state": State.SKIPPED, "skip_reason": DECLINED, "lease_until": Now()}
    return Assignment(task_id=task_id, annotator=annotator, slot=0, **columns)


def _tagged(prompt: str, tags: Collection[str]) -> Exists:
    """Whether a row's prompt has one of these tags."""
    return Exists(PromptTag.objects.filter(prompt=OuterRef(prompt), name__in=list(tags)))
