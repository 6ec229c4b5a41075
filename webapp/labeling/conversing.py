"""The part of the label page that shows a conversation, and takes what somebody says or chooses in it."""

from typing import Any

from django import forms
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from webapp.accounts.requests import PersonRequest
from webapp.labeling import conversations
from webapp.labeling.composition import Form, form_of
from webapp.labeling.forms import AssignmentForm, FormNumber
from webapp.labeling.kinds.converse.answer import LONGEST_SAID
from webapp.labeling.models import Assignment
from webapp.labeling.scripts import in_words
from webapp.labeling.services import LabelingError
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.rendering.services import rendered


class TurnForm(AssignmentForm):
    """What somebody does in a conversation of theirs; `seen` is the number of turns that their page knew."""

    act = forms.ChoiceField(choices=[(one, one) for one in ("look", "ask", "again", "choose")])
    seen = forms.IntegerField(required=False, min_value=0, max_value=1000)
    said = forms.CharField(required=False, strip=False, max_length=2 * LONGEST_SAID)
    choice = forms.IntegerField(required=False, min_value=0, max_value=7)
    form = FormNumber()

    def find(self, pk: int) -> Assignment | None:
        """The same, with all that a conversation needs."""
        return self.mine.select_related("task__prompt", "annotator").filter(pk=pk).first()


@in_words
@require_http_methods(["GET", "HEAD", "POST"])
def conversation(request: PersonRequest, project_id: int) -> HttpResponse:
    """A conversation as it stands; a POST first says or chooses something in it."""
    project = project_for(request.user, project_id, can=Action.LABEL)
    sent = request.POST if request.method == "POST" else request.GET
    form = TurnForm(sent, annotator=request.user, project=project)
    if not form.is_valid():
        return _refused(" ".join(str(one) for errors in form.errors.values() for one in errors))
    asked = form_of(project, form.cleaned_data["form"])
    try:
        if request.method == "POST":
            _act(form.cleaned_data, asked)
    except LabelingError as error:
        return _refused(str(error))
    return _shown(request, project, form.cleaned_data["assignment"], asked)


def _act(said: dict[str, Any], asked: Form) -> None:
    """Do what was posted."""
    assignment, seen = said["assignment"], said["seen"] or 0
    if said["act"] == "ask":
        conversations.ask_models(assignment, said["said"], seen, asked)
    elif said["act"] == "again":
        conversations.ask_once_more(assignment, seen, asked)
    elif said["act"] == "choose":
        conversations.prefer_answer(assignment, said["choice"] or 0, seen, asked)


def _shown(
    request: PersonRequest, project: Project, assignment: Assignment, asked: Form
) -> HttpResponse:
    """How it stands; who looks while answers are on their way waits for them."""
    found = conversations.conversation_of(assignment, asked.composition)
    if found.now is not None and not found.now.is_answered:
        conversations.note_waiting(found.now)
    context = {"project": project, "talk": found, "renderings": rendered(found.texts)}
    response = render(request, "labeling/conversation.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _refused(words: str) -> JsonResponse:
    return JsonResponse({"kind": "refused", "error": words}, status=409)
