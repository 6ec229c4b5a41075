"""Pages of runs: the queue, the start form, one run with its curves."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.htmx import HtmxRequest
from webapp.projects.access import project_for
from webapp.projects.models import Role


@login_required
@require_GET
def index(request: HtmxRequest, project_id: int) -> HttpResponse:
    """All runs of the project."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    return render(request, "runs/list.html", {"project": project, "runs": project.runs.all()[:50]})


@login_required
@require_http_methods(["GET", "POST"])
def start(request: HtmxRequest, project_id: int) -> HttpResponse:
    """The form of a single run."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    return render(request, "runs/list.html", {"project": project})


@login_required
@require_GET
def detail(request: HtmxRequest, project_id: int, run_id: int) -> HttpResponse:
    """One run."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    run = get_object_or_404(project.runs, pk=run_id)
    return render(request, "runs/list.html", {"project": project, "runs": [run]})


@login_required
@require_GET
def metrics(request: HtmxRequest, project_id: int, run_id: int) -> HttpResponse:
    """The run's curves as JSON."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    run = get_object_or_404(project.runs, pk=run_id)
    return JsonResponse({"run": run.pk})


metrics_csv = log = metrics


@login_required
@require_POST
def act(request: HtmxRequest, project_id: int, run_id: int, action: str) -> HttpResponse:
    """Change what is wanted of a run."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    run = get_object_or_404(project.runs, pk=run_id)
    return redirect("runs:detail", project.pk, run.pk)
