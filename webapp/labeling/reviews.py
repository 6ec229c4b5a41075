"""Reviews of prompts that people write: who is asked, and what their answers come to."""

from django.db import transaction

from webapp.labeling.models import Label, Task
from webapp.labeling.services import Ask, create_tasks
from webapp.labeling.written import BEFORE_OTHERS, REVIEW, leave_out
from webapp.projects.models import Prompt, PromptStanding, PromptWording
from webapp.site.pages import Page


@transaction.atomic
def ask_for_reviews(prompt: Prompt) -> None:
    """Ask as many people as the project wants about a prompt that waits; its author is not one of them."""
    if prompt.standing != PromptStanding.WAITING:
        return
    ask = Ask(prompt.pk)
    create_tasks(prompt.project, REVIEW, [ask], need=prompt.project.reviews, priority=BEFORE_OTHERS)
    if prompt.author_id is not None:
        leave_out(Task.objects.get(identity=ask.identity(REVIEW)), prompt.author_id)


def with_reasons(prompts: Page[Prompt]) -> Page[Prompt]:
    """The same, each rejected one with the `reasons` of its reviewers, each with its words of `before`."""
    worded: dict[int, list[PromptWording]] = {}
    for one in PromptWording.objects.filter(prompt__in=list(prompts)).select_related("by"):
        worded.setdefault(one.prompt_id, []).append(one)
    for prompt in prompts:
        prompt.before = worded.get(prompt.pk, [])
    rejected = {one.pk: one for one in prompts if one.standing == PromptStanding.REJECTED}
    if rejected:
        labels = Label.objects.current().filter(task__prompt__in=rejected, task__kind=REVIEW)
        labels = labels.filter(task__size=0)
        for pk, answer in labels.order_by("pk").values_list("task__prompt", "answer"):
            if answer.get("reason"):
                rejected[pk].reasons = [*rejected[pk].reasons, answer["reason"]]
    return prompts
