"""The page of what a project still needs: prompts, answers and what people write, by tag and split."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.requests import PersonRequest
from webapp.labeling.services import LabelingError
from webapp.labeling.wishes import ask_to_write, drop_wish, needs_of, want_prompts
from webapp.projects.access import Action, may, project_for, role_in
from webapp.projects.forms import WishForm


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def needed(request: PersonRequest, project_id: int) -> HttpResponse:
    """What is wanted, what is there and what lacks; whoever manages prompts says what is wanted."""
    posted = request.method == "POST"
    can = Action.MANAGE_PROMPTS if posted else Action.WRITE_PROMPTS
    here = project_for(request.user, project_id, can=can)
    form = WishForm(request.POST if posted else None)
    if form.is_valid():
        if want_prompts(here, by=request.user, **form.cleaned_data):
            return redirect("needed", here.pk)
        form.add_error(None, _("A project has so many wishes at most. Drop one first."))
    may_manage = may(role_in(request.user, here), Action.MANAGE_PROMPTS)
    context = {"project": here, "form": form, "needs": needs_of(here), "manages": may_manage}
    return render(request, "projects/needed.html", context)


@login_required
@require_POST
def write(request: PersonRequest, project_id: int, wish_id: int) -> HttpResponse:
    """Give whoever asks a prompt to answer."""
    here = project_for(request.user, project_id, can=Action.LABEL)
    try:
        ask_to_write(get_object_or_404(here.wishes, pk=wish_id), request.user)
    except LabelingError as refusal:
        messages.error(request, str(refusal))
        return redirect("needed", here.pk)
    return redirect("labeling:label", here.pk)


@login_required
@require_POST
def drop(request: PersonRequest, project_id: int, wish_id: int) -> HttpResponse:
    """Want something no more."""
    here = project_for(request.user, project_id, can=Action.MANAGE_PROMPTS)
    drop_wish(get_object_or_404(here.wishes, pk=wish_id), by=request.user)
    return redirect("needed", here.pk)
