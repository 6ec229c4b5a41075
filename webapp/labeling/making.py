"""Tasks made from what a project has: each of its prompts, with the answers that are there."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.labeling.bands import Band, priority_in
from webapp.labeling.kinds import TASK_KINDS, kind_named
from webapp.labeling.kinds.descriptor import TaskKind
from webapp.labeling.models import Completion
from webapp.labeling.services import Ask, create_tasks, known_tasks
from webapp.labeling.written_reviews import WrittenReview
from webapp.projects.models import Project, PromptStanding
from webapp.site.words import Words

AT_ONCE = (
    200  # prompts whose answers are read together, and whose tasks are stored in one transaction
)


class TasksWanted(NamedTuple):
    """Which tasks somebody wants: of one kind, about answers of one source, of prompts of one split."""

    kind: str
    most: int
    need: int = 1
    source: str = ""  # of answers; none: all
    split: str = ""  # of prompts; none: all that people may label
    band: str = Band.NORMAL  # of the queue


class TasksMade(NamedTuple):
    """What came of it: tasks that are new, and those that were there."""

    new: int
    known: int


def kinds_to_make() -> dict[str, Words]:
    """The kinds of task that can be asked of prompts and answers, in words."""
    return {name: kind.title for name, kind in TASK_KINDS.items() if kind.made}


def nothing_made(made: TasksMade) -> str:
    """Why no task is new."""
    if made.known:
        return _("All that could be asked so is asked already. Generate or import more answers.")
    return _(
        "No prompt has answers that could be asked about so. Generate or import some, or ask another way."
    )


def make_tasks(project: Project, wish: TasksWanted, *, by: User | None = None) -> TasksMade:
    """Make up to `most` new tasks; what is asked already is not asked again."""
    new = known = 0
    for asks in _asks(project, wish, kind_named(wish.kind)):
        there = known_tasks([ask.identity(wish.kind) for ask in asks])
        known += len(there)
        fresh = [ask for ask in asks if ask.identity(wish.kind) not in there and not ask.alike]
        some = fresh[: wish.most - new]
        priority = priority_in(Band(wish.band))
        new += create_tasks(project, wish.kind, some, need=wish.need, priority=priority)
        if new == wish.most:
            break
    if new:  # stored some at a time, each for good
        record_act(Act.TASKS_MADE, by, project=project.pk, kind=wish.kind, tasks=new)
    return TasksMade(new, known)


def _asks(project: Project, wish: TasksWanted, kind: TaskKind) -> Iterator[list[Ask]]:
    """What the kind would ask of each prompt, some prompts at a time."""
    prompts = project.prompts.for_labels().order_by("key")
    if wish.split:
        prompts = prompts.filter(split=wish.split)
    keys = list(prompts.values_list("pk", flat=True))
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        answers = answers_used(some, wish.source)
        yield [Ask(prompt, items) for prompt in some for items in kind.ask(answers[prompt])]


def answers_used(prompts: Sequence[int], source: str = "") -> dict[int, list[Completion]]:
    """The answers to each of these prompts that are used, of one source or of all, the oldest first."""
    found: dict[int, list[Completion]] = {prompt: [] for prompt in prompts}
    unused = WrittenReview.objects.exclude(standing=PromptStanding.ACCEPTED)
    aside = unused.filter(task__prompt__in=prompts).values("task__items__completion")
    rows = Completion.objects.filter(prompt__in=prompts).exclude(pk__in=aside).order_by("pk")
    for answer in rows.filter(source=source) if source else rows:
        found[answer.prompt_id].append(answer)
    return found
