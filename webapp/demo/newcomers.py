"""People who label beside the simulated ones: some tasks are left for them, and they are waited for."""

import time
from collections.abc import Callable

from django.db.models import Count, Max, Q, QuerySet

from webapp.accounts.models import User
from webapp.labeling.models import Assignment, Label
from webapp.projects.models import Project

LEFT = 12  # tasks that the simulated people do not touch before
LOOK = 0.3  # seconds between two looks
FIRST, NEXT = 20.0, 15.0  # seconds for a first label, and for another

Signs = tuple[int, int]


def is_somebody_here() -> bool:
    """Whether anybody has an account who is not simulated."""
    return User.objects.filter(simulated=False, is_active=True).exists()


def labels_of_people(project: Project) -> int:
    """How many labels of the project are not simulated."""
    return Label.objects.current().filter(task__project=project, annotator__simulated=False).count()


def wait_for_people(
    project: Project, pause: Callable[[float], None], report: Callable[[int], None]
) -> None:
    """Let people answer what was left for them as long as they do; where there is nobody, not at all."""
    seen, since = (0, 0), time.monotonic()
    while is_somebody_here() and (left := _left(project)):
        if (now := _signs(project)) != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > (NEXT if seen[0] else FIRST):
            return
        report(left)
        pause(LOOK)


def _signs(project: Project) -> Signs:
    """Changes whenever a person takes a card or answers it: answers, the newest card."""
    submitted = Count("pk", filter=Q(state=Assignment.State.SUBMITTED))
    found = _cards_of_people(project).aggregate(answers=submitted, newest=Max("pk"))
    return found["answers"], found["newest"] or 0


def _left(project: Project) -> int:
    """Tasks that are free, and those that people have in hand."""
    in_hand = _cards_of_people(project).filter(state=Assignment.State.LEASED)
    return project.tasks.open().count() + in_hand.count()


def _cards_of_people(project: Project) -> QuerySet[Assignment]:
    return Assignment.objects.filter(task__project=project, annotator__simulated=False)
