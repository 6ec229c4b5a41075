"""How far the queue has led people, so that no claim walks over what its person has done already.

The cursor of a person stands before the first task that is open for them, but for what opens behind it later: a place
that is given back, a label that is asked for besides. Such tasks say when they opened, and are looked for by that. Of
many new tasks at once nobody could tell which are behind: then all go through the project's tasks again. So do, once in
a while, those for whom nothing is left: whatever opened without saying so is found then.
"""

from collections.abc import Sequence

from django.db.models import BooleanField, ExpressionWrapper, Q

from webapp.accounts.models import User
from webapp.labeling.models import LAST_PLACE, Cursor, Task
from webapp.labeling.restrictions import restriction_for
from webapp.projects.models import Project
from webapp.site.clock import after

FAR = 30  # open tasks that a claim has walked over: then the cursor follows
FEW = 500  # new tasks that each say when they came
SLOWEST = (
    60.0  # seconds that a transaction takes which opens a task, at most: others see it only then
)
ROUND = 600.0  # seconds from one beginning to the next, where nothing is left


def move_cursor(project: Project, annotator: User) -> None:
    """Let it stand before the first task that is open for this person now, or at the end; their row is locked."""
    only = restriction_for(project, annotator).matches()
    first = Task.every.ahead_of(project, annotator, only).values_list("priority", "key")[:1]
    priority, key = next(iter(first), LAST_PLACE)
    place = {"priority": priority, "key": key - 1}
    now = place | {"seen": after(-SLOWEST)}
    waits = Task.every.opened_behind(project, annotator, only).exists()
    if not Cursor.objects.of(project, annotator).update(**place if waits else now):
        Cursor.objects.create(project=project, annotator=annotator, **now)


def begin_again(project: Project, annotator: User) -> bool:
    """Let somebody for whom nothing was found go through all tasks again, if they have not done so lately."""
    cursor = Cursor.objects.of(project, annotator)
    old = ExpressionWrapper(Q(begun__lt=after(-ROUND)), output_field=BooleanField())
    there = cursor.annotate(old=old).values_list("old", "priority").first()
    if there and there[0]:
        cursor.delete()
        return True
    if there is None or there[1] != LAST_PLACE[0]:
        move_cursor(project, annotator)
    return False


def lead_to(project: Project, tasks: Sequence[int]) -> None:
    """Let new tasks be found by people whom the queue has led past where they stand."""
    if len(tasks) > FEW:
        lead_anew(project)
    else:
        Task.every.filter(pk__in=tasks).let_open()


def lead_person_anew(annotator: User) -> None:
    """Let somebody go through all tasks of all their projects again."""
    Cursor.objects.filter(annotator=annotator).delete()


def lead_anew(project: Project) -> None:
    """Let everybody go through all of a project's tasks again."""
    Cursor.objects.filter(project=project).delete()
