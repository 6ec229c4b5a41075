"""The pages by which a project is copied, archived, deleted and brought back."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from webapp.accounts.requests import PersonRequest
from webapp.home import archive
from webapp.projects.access import Action, project_for
from webapp.projects.copying import copy_project
from webapp.projects.errors import ProjectError
from webapp.projects.forms import CopyForm, DeleteForm
from webapp.projects.models import Project

ACTS: dict[str, Callable[..., None]] = {
    "archive": archive.archive_project,
    "restore": archive.restore_project,
    "delete": archive.doom_project,
    "keep": archive.spare_project,
}
DONE = {
    "archive": gettext_lazy("The project is archived. Here it can be brought back."),
    "restore": gettext_lazy("The project is back: people can work in it again."),
    "delete": gettext_lazy("The project will be deleted. Until then it can be kept here."),
    "keep": gettext_lazy("The project is kept, archived as it is."),
}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upkeep(request: PersonRequest, project_id: int) -> HttpResponse:
    """Archive a project or delete it, by its typed name; or take either back."""
    here = project_for(request.user, project_id, can=Action.MANAGE_PROJECT)
    form = DeleteForm(here)
    if request.method == "POST":
        if (act := request.POST.get("act", "")) not in ACTS:
            raise Http404
        form = DeleteForm(here, request.POST if act == "delete" else None)
        if act != "delete" or form.is_valid():
            _do(request, here, act)
            return redirect("upkeep", here.pk)
    context = {"project": here, "form": form, "days": archive.GRACE.days}
    return render(request, "projects/upkeep.html", context)


def _do(request: PersonRequest, here: Project, act: str) -> None:
    try:
        ACTS[act](here, by=request.user)
    except ProjectError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, DONE[act])


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def make_copy(request: PersonRequest, project_id: int) -> HttpResponse:
    """Make a project after this one; only a superuser makes any."""
    here = project_for(request.user, project_id, can=Action.MANAGE_PROJECT)
    if not request.user.is_superuser:
        raise Http404
    form = CopyForm(request.POST or None)
    if form.is_valid():
        try:
            made = copy_project(here, **form.cleaned_data, by=request.user)
        except IntegrityError:  # it was sent twice at the same time
            form.add_error("name", _("There is a project of this name already."))
        else:
            messages.success(request, _("The copy is made, and you are its admin."))
            return redirect("project", made.pk)
    return render(request, "projects/copy.html", {"project": here, "form": form})
