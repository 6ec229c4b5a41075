"""What follows from the answers to a task, in the transaction that stores or takes back one."""

from collections import Counter
from collections.abc import Mapping

from webapp.labeling.kinds.descriptor import no_review
from webapp.labeling.models import Label, Task
from webapp.labeling.wording import word_prompt
from webapp.labeling.written import REVIEW, ask_about_written
from webapp.projects.models import Prompt, PromptStanding


def follow_answers(task: Task, new: Label | None = None) -> str:
    """Do what follows from the answers to the task, of which one may be new, and from a decision about it.

    Why the new one cannot be stored, "" where it can.
    """
    if task.kind == REVIEW:
        objection = "" if task.size else word_prompt(task, new)
        _settle(task)
        return objection
    if task.asks.reviewed is not no_review:
        ask_about_written(task, new)
    return ""


def _settle(task: Task) -> None:
    """What is reviewed is used, or not any more, by what its reviewers say now, or by who decided for them."""
    standing = _decided(task) or _voted(task)
    if task.size:
        task.reviewed.update(standing=standing)
    else:
        prompt = Prompt.objects.filter(pk=task.prompt_id)
        prompt.exclude(standing=PromptStanding.RETIRED).update(standing=standing)


def _decided(task: Task) -> PromptStanding | None:
    """What somebody has decided instead of the reviewers, if anybody has."""
    verdict = task.adjudications.standing().values_list("verdict", flat=True).first()
    decisions = {"accept": PromptStanding.ACCEPTED, "reject": PromptStanding.REJECTED}
    return decisions.get(str(verdict))


def _voted(task: Task) -> PromptStanding:
    said = Label.objects.current().filter(task=task).values_list("verdict", flat=True)
    accepts = task.project.answer_accepts if task.size else task.project.accepts
    return _standing(Counter(said), task.need, accepts)


def _standing(votes: Mapping[str, int], reviews: int, accepts: int) -> PromptStanding:
    """Decided as soon as no further answer could change it."""
    needed = min(accepts, reviews)
    if votes["accept"] >= needed:
        return PromptStanding.ACCEPTED
    return PromptStanding.REJECTED if votes["reject"] > reviews - needed else PromptStanding.WAITING
