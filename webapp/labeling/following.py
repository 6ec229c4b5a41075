"""What follows from the answers to a task, in the transaction that stores or takes back one."""

from collections import Counter
from collections.abc import Callable, Mapping

from webapp.labeling.models import Label, Task
from webapp.projects.models import Project, Prompt, PromptStanding

REVIEW = "review"  # the kind of task


def _settle_prompt(task: Task) -> None:
    """A prompt is used, or not any more, by what its reviewers say now."""
    project = Project.objects.get(pk=task.project_id)
    said = Label.objects.current().filter(task=task).values_list("verdict", flat=True)
    votes = Counter(said)
    Prompt.objects.filter(pk=task.prompt_id).update(standing=_standing(votes, task.need, project))


def _standing(votes: Mapping[str, int], reviews: int, project: Project) -> PromptStanding:
    """Decided as soon as no further answer could change it."""
    needed = min(project.accepts, reviews)
    if votes["accept"] >= needed:
        return PromptStanding.ACCEPTED
    return PromptStanding.REJECTED if votes["reject"] > reviews - needed else PromptStanding.WAITING


FOLLOWERS: Mapping[str, Callable[[Task], None]] = {REVIEW: _settle_prompt}


def follow_answers(task: Task) -> None:
    """Do what follows from the answers to the task as they are now."""
    if act := FOLLOWERS.get(task.kind):
        act(task)
