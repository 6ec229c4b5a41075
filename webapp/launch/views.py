"""Pages that start a run: what is offered, and the form of each kind."""

from collections.abc import Mapping
from uuid import uuid4

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.launch.defaults import proposed
from webapp.launch.forecast import outlook
from webapp.launch.form import StartForm
from webapp.launch.needs import missing_for
from webapp.launch.offers import offered, offers
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.runs.models import Run
from webapp.runs.services import Order, start_run
from webapp.site.choices import found_for, sought_in
from webapp.site.errors import Refusal
from webapp.site.htmx import is_key, render_page


@login_required
@require_safe
def choose(request: PersonRequest, project_id: int) -> HttpResponse:
    """A card for every kind of run that can be started: what it does, reads and makes."""
    project = project_for(request.user, project_id, can=Action.START_RUNS)
    return render(request, "runs/choose.html", {"project": project, "groups": offers(project)})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form of a run of ?kind=, with ?<role>= what it reads; a changed form asks for its outlook."""
    project = project_for(request.user, project_id, can=Action.START_RUNS)
    if not (name := request.GET.get("kind", "")):
        return redirect("runs:choose", project.pk)
    if (kind := offered().get(name)) is None:
        raise Http404
    proposal = proposed(kind, project, request.GET)
    form = StartForm(
        request.POST or None,
        initial=proposal.initial
        | sought_in(request.GET)
        | {"key": uuid4(), "name": kind.suggested},
        kind=kind,
        project=project,
        start=proposal.config,
    )
    if (found := found_for(request, form)) is not None:
        return found
    posted = request.method == "POST" and not request.htmx and form.is_valid()
    if posted and (run := _start_from(request, project, form)) is not None:
        return redirect("runs:detail", project.pk, run.pk)
    missing = missing_for(kind, form.ground)
    context = {
        "project": project,
        "form": form,
        "kind": kind,
        "missing": missing,
        "extended": extended(project, request.GET),
        "outlook": [] if missing and not missing.spared else outlook(form),
    }
    return render_page(request, "runs/start.html", context, partial="outlook")


def extended(project: Project, query: Mapping[str, str]) -> Run | None:
    """The run of the project that an address wants to go on; raises Http404 where there is no such run."""
    if not (pk := query.get("extends", "")):
        return None
    found = project.runs.filter(pk=pk).first() if is_key(pk) else None
    if found is None:
        raise Http404
    return found


def _start_from(request: PersonRequest, project: Project, form: StartForm) -> Run | None:
    """Start what the form describes; a refusal is told in the form."""
    try:
        return start_run(
            project,
            Order(
                kind=form.kind.name,
                name=form.cleaned_data["name"],
                config=form.config,
                seed=form.cleaned_data["seed"],
                inputs=form.inputs,
                key=str(form.cleaned_data["key"]),
                extends=extended(project, request.GET),
                created_by=request.user,
                dry=bool(request.POST.get("try")),
            ),
        )
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        return None
