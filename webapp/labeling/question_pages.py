"""The pages of questions about tasks."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.accounts.roles import Role
from webapp.labeling.forms import AssignmentForm
from webapp.labeling.questions import (
    ANSWERS,
    LONGEST_QUESTION,
    answer_question,
    ask_question,
    questions_for,
)
from webapp.labeling.services import LabelingError
from webapp.projects.access import Action, project_for, role_in
from webapp.site.longtext import LongText
from webapp.site.pages import page_of


class QuestionForm(AssignmentForm):
    """A question about a task that somebody holds or has answered."""

    text = LongText(label=gettext_lazy("Question"), limit=LONGEST_QUESTION)


class AnswerForm(forms.Form):
    """The answer to one."""

    text = LongText(label=gettext_lazy("Answer"), limit=LONGEST_QUESTION)


@login_required
@require_POST
def ask(request: PersonRequest, project_id: int) -> HttpResponse:
    """Ask about a task; then back to it."""
    here = project_for(request.user, project_id, can=Action.LABEL)
    form = QuestionForm(request.POST, annotator=request.user, project=here)
    try:
        if not form.is_valid():
            raise LabelingError(
                " ".join(str(one) for errors in form.errors.values() for one in errors)
            )
        ask_question(form.cleaned_data["assignment"], form.cleaned_data["text"])
    except LabelingError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(
            request, _("Your question is asked. The answer comes under Notifications.")
        )
    return redirect("labeling:label", here.pk)


@login_required
@require_safe
def questions(request: PersonRequest, project_id: int) -> HttpResponse:
    """Questions and answers: a researcher's are all, an annotator's their own."""
    here = project_for(request.user, project_id, can=Action.LABEL)
    role = role_in(request.user, here) or Role.ANNOTATOR
    page = page_of(questions_for(here, request.user, role), request.GET, "-pk")
    context = {
        "project": here,
        "page": page,
        "answers": role in ANSWERS,
        "longest": LONGEST_QUESTION,
    }
    return render(request, "labeling/questions.html", context)


@login_required
@require_POST
def answer(request: PersonRequest, project_id: int, question_id: int) -> HttpResponse:
    """Answer a question."""
    here = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    question = get_object_or_404(here.questions, pk=question_id)
    form = AnswerForm(request.POST)
    try:
        if not form.is_valid():
            raise LabelingError(" ".join(map(str, form.errors["text"])))
        answer_question(question, form.cleaned_data["text"], by=request.user)
    except LabelingError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The question is answered, and whoever asked it is told."))
    return redirect("labeling:questions", here.pk)
