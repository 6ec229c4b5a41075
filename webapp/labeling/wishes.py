"""What a project wants of its prompts, how much of it is there, and who writes what lacks."""

from typing import NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.labeling import dispatch
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.descriptor import no_review
from webapp.labeling.models import Completion, Label, Task
from webapp.labeling.services import Ask, LabelingError, create_tasks
from webapp.notifications.models import Occasion
from webapp.notifications.services import News, notify
from webapp.projects.models import Project, PromptQuerySet, PromptStanding, Wish
from webapp.site.pages import count_up_to

WRITE = "demonstrate"  # the kind of task that asks for an answer
MOST_WISHES = 12  # of a project: the page counts each


class Need(NamedTuple):
    """A wish, and how much of what is wanted is there; counted up to a limit."""

    wish: Wish
    there: int

    @property
    def lacks(self) -> int:
        """How many more are wanted."""
        return max(0, self.wish.wanted - self.there)


def needs_of(project: Project) -> list[Need]:
    """The project's wishes, each with what is there."""
    return [Need(wish, count_up_to(_there(wish))) for wish in project.wishes.all()[:MOST_WISHES]]


def _there(wish: Wish) -> "QuerySet[Completion] | QuerySet[Label] | PromptQuerySet":
    """What a wish counts."""
    prompts = _prompts_of(wish)
    if wish.what == Wish.What.PROMPTS:
        return prompts
    if wish.what == Wish.What.ANSWERS:
        return Completion.objects.filter(prompt__in=prompts.values("pk"))
    return _written().filter(task__prompt__in=prompts.values("pk"))


def _prompts_of(wish: Wish) -> PromptQuerySet:
    prompts: PromptQuerySet = wish.project.prompts.all()
    return prompts.wanted_by(wish.tag, wish.split)


def _written() -> "QuerySet[Label]":
    """Answers that people wrote, unless they wait for their reviewers or were rejected."""
    kinds = [name for name, kind in TASK_KINDS.items() if kind.reviewed is not no_review]
    accepted = Q(review=None) | Q(review__standing=PromptStanding.ACCEPTED)
    return Label.objects.current().filter(accepted, task__kind__in=kinds)


@transaction.atomic
def want_prompts(
    project: Project, wanted: int, *, by: User | None, what: str, tag: str, split: str
) -> bool:
    """Want so much of what is named, more or less than before; whether that is so: not where there are wishes enough."""
    named = {"what": what, "tag": tag, "split": split}
    known = project.wishes.filter(**named).exists()
    if not known and project.wishes.count() >= MOST_WISHES:
        return False
    wish, new = project.wishes.update_or_create(
        what=what, tag=tag, split=split, defaults={"wanted": wanted}
    )
    record_act(Act.WISH_MADE, by, project=project.pk, about=wish.pk, wanted=wanted, **named)
    if new:
        _tell(wish, by)
    return True


def _tell(wish: Wish, by: User | None) -> None:
    """Let the other members of the project know what is wanted."""
    members = wish.project.memberships.exclude(user=by).values_list("user", flat=True)
    what = " · ".join(filter(None, [wish.tag, str(wish.get_what_display())]))
    url = reverse("needed", args=[wish.project_id])
    notify(members, News(wish.project_id, Occasion.WISH, f"{wish.wanted} · {what}", url))


@transaction.atomic
def drop_wish(wish: Wish, *, by: User | None) -> None:
    """Want something no more."""
    record_act(Act.WISH_DROPPED, by, project=wish.project_id, about=wish.pk)
    wish.delete()


@transaction.atomic
def ask_to_write(wish: Wish, person: User) -> None:
    """Give somebody a prompt of a wish to answer that nobody is asked to answer yet.

    Raises LabelingError where there is none.
    """
    project = wish.project
    asked = Task.every.filter(kind=WRITE, prompt=OuterRef("pk"))
    free = _prompts_of(wish).for_labels().filter(~Exists(asked)).order_by("key")
    prompt = free.values_list("pk", flat=True).first()
    if prompt is None:
        raise LabelingError(
            _("Every prompt of this kind is being answered already. Write another prompt first.")
        )
    create_tasks(project, WRITE, [ask := Ask(prompt)], need=1)
    record_act(Act.TASKS_MADE, person, project=project.pk, kind=WRITE, tasks=1)
    task = Task.objects.get(identity=ask.identity(WRITE))
    dispatch.ask_person(project, [task.pk], person)
