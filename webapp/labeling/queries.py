"""Counts of labelling, for pages."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, Q, prefetch_related_objects
from django.db.models.functions import Now, TruncDay

from webapp.accounts.models import User
from webapp.labeling.models import STATES, Assignment, Label, Task
from webapp.projects.models import Project

WAITING_SHOWN = 1000  # counting stops here: a page needs no exact number beyond


class Progress(NamedTuple):
    """How far a project's tasks and labels are."""

    tasks: int
    open: int  # with a free place
    leased: int  # somebody works on it
    done: int  # every place answered
    skipped: int  # by so many that nobody is asked any more
    labels: int  # current, extras included
    extras: int  # current, not counted
    simulated: int  # current, by simulated annotators
    annotators: int


def with_items(cards: list[Assignment]) -> list[Assignment]:
    """The cards with all that they show, in one query."""
    prefetch_related_objects([card.task for card in cards], "items")
    return cards


def texts_of(cards: Iterable[Assignment]) -> Iterator[str]:
    """All that these cards show."""
    for card in cards:
        yield from (turn["content"] for turn in card.task.prompt.messages)
        yield from (completion.text for completion in card.task.completions)


def waiting_for(project: Project, annotator: User) -> int:
    """Tasks this person could answer now, those in their hands included; at most WAITING_SHOWN."""
    held = Assignment.objects.held_by(annotator).filter(task__project=project).count()
    open_ = Task.objects.open_for(project, annotator).order_by()  # counted in any order
    return held + open_[:WAITING_SHOWN].count()


def newest_act(annotator: User, project: Project) -> UUID | None:
    """What an undo would take back: the name of this person's last label or skip that stands."""
    labels = Label.objects.current().filter(annotator=annotator, task__project=project)
    skips = Assignment.objects.filter(
        annotator=annotator,
        task__project=project,
        state=Assignment.State.SKIPPED,
        skip_id__isnull=False,
    )
    label = labels.order_by("-pk").values_list("pk", "client_id").first() or (0, None)
    skipped = skips.order_by("-skip_order").values_list("skip_after", "skip_id").first()
    return skipped[1] if skipped and skipped[0] >= label[0] else label[1]


def labelled_today(annotator: User, project: Project | None = None) -> int:
    """Current labels this person gave since midnight UTC, in one project or all."""
    labels = Label.objects.current().filter(annotator=annotator, created_at__gte=TruncDay(Now()))
    return (labels.filter(task__project=project) if project else labels).count()


def progress(project: Project) -> Progress:
    """The project's tasks by state and its current labels."""
    tasks = project.tasks.aggregate(
        tasks=Count("pk"),
        **{state: Count("pk", filter=condition) for state, condition in STATES.items()},
    )
    labels = Label.objects.current().filter(task__project=project)
    counts = labels.aggregate(
        labels=Count("pk"),
        extras=Count("pk", filter=Q(counted=False)),
        simulated=Count("pk", filter=Q(annotator__simulated=True)),
        annotators=Count("annotator", distinct=True),
    )
    return Progress(**tasks, **counts)
