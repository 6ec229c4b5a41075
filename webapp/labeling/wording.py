"""The words of a prompt that is reviewed: those of the newest reviewer who changed them, else its author's."""

from django.utils.translation import gettext as _

from webapp.labeling.kinds.writing import with_plain_lines
from webapp.labeling.models import Completion, Label, Task
from webapp.projects.errors import ProjectError
from webapp.projects.models import Prompt
from webapp.projects.services import reword_prompt


def word_prompt(task: Task, new: Label | None) -> str:
    """Give the prompt the words that its reviewers say now; why a new answer's cannot be, "" where they can."""
    prompt = Prompt.every.get(pk=task.prompt_id)
    changes = bool(new and new.answer.get("text"))
    if changes and new and (objection := _objection(prompt, task, new)):
        return objection
    text, by = _wanted(prompt, task)
    if text.strip() == _plain(prompt) or _is_used(prompt, task):
        return ""
    try:
        reword_prompt(prompt, text, by=by)
    except ProjectError as error:
        return str(error) if changes else ""
    return ""


def _objection(prompt: Prompt, task: Task, new: Label) -> str:
    """Why a prompt cannot have the words of a new answer."""
    if _is_used(prompt, task):
        return _(
            "Tasks or answers of this prompt are there already, so its words stand: accept it as it is, or reject it."
        )
    if new.answer["was"].strip() != _plain(prompt):
        return _(
            "Somebody else has changed the words of this prompt meanwhile: it says now “%(text)s”. "
            "Change those, or accept them: nothing was stored."
        ) % {"text": prompt.text}
    return ""


def _wanted(prompt: Prompt, task: Task) -> tuple[str, int | None]:
    """The words that the answers to its review come to, and whose they are."""
    said = Label.objects.current().filter(task=task, verdict="accept").order_by("-pk")
    for answer, annotator in said.values_list("answer", "annotator"):
        if answer.get("text"):
            return answer["text"], annotator
    first = prompt.wordings.first()
    return (first.text if first else prompt.text), prompt.author_id


def _is_used(prompt: Prompt, review: Task) -> bool:
    """Whether anything but its review is about the prompt."""
    others = Task.every.filter(prompt=prompt).exclude(pk=review.pk)
    return others.exists() or Completion.every.filter(prompt=prompt).exists()


def _plain(prompt: Prompt) -> str:
    """What it says, as a form sends it back untouched."""
    return with_plain_lines(prompt.text).strip()
