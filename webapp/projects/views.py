"""The forms of a project: a new one, and its guidelines."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from webapp.accounts.requests import PersonRequest
from webapp.projects import services
from webapp.projects.access import Action, project_for
from webapp.projects.errors import ProjectError
from webapp.projects.forms import STARTER_GUIDELINES, GuidelinesForm, ProjectForm, ReviewsForm
from webapp.projects.models import Project


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_project(request: PersonRequest) -> HttpResponse:
    """The form of a new project; only a superuser makes one."""
    if not request.user.is_superuser:
        raise Http404
    form = ProjectForm(request.POST or None, initial={"guidelines": STARTER_GUIDELINES})
    if form.is_valid():
        try:
            project = services.create_project(**form.cleaned_data, by=request.user)
        except IntegrityError:  # it was sent twice at the same time
            form.add_error("name", _("There is a project of this name already."))
        else:
            return redirect("project", project.pk)
    title = _("New project") if Project.objects.exists() else _("Create your first project")
    return render(request, "projects/new.html", {"form": form, "title": title})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def guidelines(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form of the guidelines."""
    here = project_for(request.user, project_id, can=Action.EDIT_GUIDELINES)
    seen, theirs = services.mark_of(here.guidelines), ""
    there = {"guidelines": here.guidelines, "min_visible_ms": here.min_visible_ms, "seen": seen}
    form = GuidelinesForm(request.POST or None, initial=there)
    if form.is_valid():
        try:
            services.save_guidelines(here, **form.cleaned_data, by=request.user)
        except ProjectError as refusal:
            posted = request.POST.copy()
            posted["seen"] = seen  # whoever saves again has read theirs
            form.data = posted
            form.add_error(None, str(refusal))
            theirs = here.guidelines
        else:
            messages.success(request, _("The guidelines are saved."))
            return redirect("prompts", here.pk)
    context = {"project": here, "form": form, "theirs": theirs}
    return render(request, "projects/guidelines.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def reviews(request: PersonRequest, project_id: int) -> HttpResponse:
    """How many people judge prompts and answers before they are used."""
    here = project_for(request.user, project_id, can=Action.EDIT_GUIDELINES)
    there = {name: getattr(here, name) for name in ReviewsForm.base_fields}
    form = ReviewsForm(request.POST or None, initial=there)
    if form.is_valid():
        services.set_reviews(here, by=request.user, **form.cleaned_data)
        messages.success(request, _("Saved. It holds for what is written from now on."))
        return redirect("prompts", here.pk)
    return render(request, "projects/reviews.html", {"project": here, "form": form})
