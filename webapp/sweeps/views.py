"""Pages of sweeps: the list, the form, one sweep."""

from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alignment.kinds.kind import Kind
from webapp.accounts.models import User
from webapp.accounts.requests import PersonRequest
from webapp.launch.defaults import proposed
from webapp.launch.needs import missing_for
from webapp.launch.offers import offered
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.site.choices import found_for, sought_in
from webapp.site.errors import Refusal
from webapp.site.htmx import render_page
from webapp.site.pages import page_of
from webapp.site.stamps import once
from webapp.sweeps import queries
from webapp.sweeps.actions import SWEEP_ACTIONS, sweep_actions
from webapp.sweeps.form import SweepForm, carried
from webapp.sweeps.models import Sweep
from webapp.sweeps.outlook import sweep_outlook
from webapp.sweeps.services import SweepPlan, start_sweep


@login_required
@require_safe
def index(request: PersonRequest, project_id: int) -> HttpResponse:
    """All sweeps of the project, newest first."""
    project = project_for(request.user, project_id, can=Action.SEE_RUNS)
    page = page_of(queries.listed_sweeps(project.sweeps.all()), request.GET, "-number")
    listed = [queries.as_listed(sweep) for sweep in page]
    return render(request, "sweeps/list.html", {"project": project, "page": page, "listed": listed})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def launch(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form of a sweep of ?kind=; what was filled in for one run is carried over."""
    project = project_for(request.user, project_id, can=Action.START_RUNS)
    if not (name := request.GET.get("kind", "")):
        return redirect("runs:choose", project.pk)
    if (kind := offered().get(name)) is None:
        raise Http404
    form = _form(request, project, kind)
    if (found := found_for(request, form)) is not None:
        return found
    posted = form.is_bound and not request.htmx and form.is_valid()
    if posted and (made := _start_from(request, project, form)) is not None:
        return redirect("sweeps:detail", project.pk, made.pk)
    missing = missing_for(kind, form.ground)
    context = {
        "project": project,
        "form": form,
        "kind": kind,
        "missing": None if missing and missing.spared else missing,
        "outlook": sweep_outlook(form),
    }
    return render_page(request, "sweeps/launch.html", context, partial="outlook")


def _form(request: PersonRequest, project: Project, kind: Kind) -> SweepForm:
    """What was sent; or a new one with what an address proposes, or what a run's form had."""
    proposal = proposed(kind, project, request.GET)
    usual = proposal.initial | sought_in(request.GET) | {"key": uuid4(), "name": kind.suggested}
    form = SweepForm(initial=usual, kind=kind, project=project, start=proposal.config)
    if "carry" in request.POST:
        usual |= carried(form, request.POST)
        return SweepForm(initial=usual, kind=kind, project=project, start=proposal.config)
    if request.method == "POST":
        return SweepForm(request.POST, kind=kind, project=project, start=proposal.config)
    return form


def _start_from(request: PersonRequest, project: Project, form: SweepForm) -> Sweep | None:
    """Start what the form describes; a refusal is told in the form."""
    try:
        return start_sweep(project, sweep_plan(form, request.user))
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        return None


def sweep_plan(form: SweepForm, by: User) -> SweepPlan:
    """The sweep that a valid form describes."""
    return SweepPlan(
        kind=form.kind.name,
        name=form.cleaned_data["name"],
        config=form.config,
        space=form.space,
        search=form.search,
        objective=form.sought,
        key=str(form.cleaned_data["key"]),
        inputs=form.inputs,
        seed=form.cleaned_data["seed"],
        created_by=by,
    )


@login_required
@require_safe
def detail(request: PersonRequest, project_id: int, sweep_id: int) -> HttpResponse:
    """One sweep: its trials, plots and recommendation; while it works they refresh themselves."""
    project = project_for(request.user, project_id, can=Action.SEE_RUNS)
    stamp = queries.stamp_of_sweep(project.pk, sweep_id)
    if request.htmx and not request.htmx.history_restore_request:
        return _live(request, project, sweep_id, stamp)
    context = _standing(project, sweep_id, stamp)
    context["actions"] = sweep_actions(context["board"]).items()
    return render_page(request, "sweeps/detail.html", context, partial="live")


def _live(request: PersonRequest, project: Project, sweep_id: int, stamp: str) -> HttpResponse:
    """Where it stands, drawn once for all who watch it."""

    def draw() -> tuple[str, str]:
        context = _standing(project, sweep_id, stamp)
        return context["board"].seen, render_to_string("sweeps/detail.html#live", context)

    seen, drawn = once(("sweep", sweep_id, stamp, get_language()), draw)
    response = HttpResponse(drawn)
    patch_vary_headers(response, ["HX-Request"])
    if request.GET.get("seen") != seen:
        response["HX-Refresh"] = "true"  # other buttons
    return response


def _standing(project: Project, sweep_id: int, stamp: str) -> dict[str, Any]:
    """What the page shows of where a sweep stands."""
    sweep = get_object_or_404(project.sweeps.select_related("created_by"), pk=sweep_id)
    return {"project": project, "board": queries.board_of(sweep), "stamp": stamp}


@login_required
@require_POST
def act(request: PersonRequest, project_id: int, sweep_id: int, action: str) -> HttpResponse:
    """Pause, resume, cancel or try again; what is not possible is said."""
    project = project_for(request.user, project_id, can=Action.START_RUNS)
    sweep = get_object_or_404(project.sweeps, pk=sweep_id)
    if action not in SWEEP_ACTIONS:
        raise Http404
    try:
        SWEEP_ACTIONS[action].service(sweep, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("sweeps:detail", project.pk, sweep.pk)
