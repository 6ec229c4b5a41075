"""The languages of tasks: those of their prompts, told where members of the project have named what they read.

Telling takes longer than making a task does, so nobody waits for it who made tasks while nobody asked.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from webapp.accounts.models import User
from webapp.jobs.models import FINAL, Job
from webapp.jobs.services import start_job
from webapp.jobs.work import Work
from webapp.labeling.models import Task
from webapp.projects.languages import language_of
from webapp.projects.models import Membership, Project, Prompt

KIND = "languages"  # of job
AT_ONCE = 500  # tasks of a statement


def are_asked_for(project: Project) -> bool:
    """Whether a member has named the languages that they read."""
    members = Membership.objects.filter(project=project, user__is_active=True)
    return members.exclude(user__reads=[]).exists()


def tell_languages(tasks: Sequence[int]) -> int:
    """Note the language of each of these tasks that has none yet; how many they were."""
    told = 0
    for start in range(0, len(tasks), AT_ONCE):
        some = Task.every.filter(pk__in=tasks[start : start + AT_ONCE], language=None)
        told += _note(dict(some.order_by().values_list("pk", "prompt")))
    return told


def _note(prompts: Mapping[int, int]) -> int:
    """The same for so many that one statement takes them: tasks, with their prompts."""
    asked = Prompt.every.filter(pk__in=set(prompts.values()))
    spoken = {prompt.pk: language_of(prompt.text) for prompt in asked}
    alike: dict[str, list[int]] = defaultdict(list)
    for task, prompt in prompts.items():
        alike[spoken[prompt]].append(task)
    for code, tasks in alike.items():
        Task.every.filter(pk__in=tasks).update(language=code)
    return len(prompts)


def start_telling(projects: Iterable[Project], *, by: User | None = None) -> None:
    """Have the tasks of these projects looked at that nobody has looked at yet, once at a time in each."""
    for project in projects:
        if not project.jobs.filter(kind=KIND).exclude(state__in=FINAL).exists():
            start_job(project, kind=KIND, payload={}, key=f"{KIND}-{uuid4()}", by=by)


def tell_all(job: Job) -> Work:
    """The job: all tasks of the project, some at a time."""
    found = Task.every.filter(project=job.project, language=None).order_by("pk")
    total, told, last = found.count(), 0, 0
    while tasks := list(found.filter(pk__gt=last).values_list("pk", flat=True)[:AT_ONCE]):
        told += tell_languages(tasks)
        last = tasks[-1]
        yield told, max(told, total)

    def finish() -> dict[str, Any]:
        return {"tasks": told}

    return finish
