"""Pages of rounds: the list, the launch form, one round."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.htmx import HtmxRequest
from webapp.projects.access import project_for
from webapp.projects.models import Role


@login_required
@require_GET
def index(request: HtmxRequest, project_id: int) -> HttpResponse:
    """All rounds of the project, newest first."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    context = {"project": project, "rounds": project.rounds.all()[:50]}
    return render(request, "rounds/list.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def launch(request: HtmxRequest, project_id: int) -> HttpResponse:
    """The form of a new round."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    return render(request, "rounds/list.html", {"project": project})


@login_required
@require_GET
def detail(request: HtmxRequest, project_id: int, round_id: int) -> HttpResponse:
    """One round."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    row = get_object_or_404(project.rounds, pk=round_id)
    return render(request, "rounds/list.html", {"project": project, "rounds": [row]})


@login_required
@require_POST
def cancel(request: HtmxRequest, project_id: int, round_id: int) -> HttpResponse:
    """Cancel what is left of a round."""
    project = project_for(request.user, project_id, role=Role.RESEARCHER)
    row = get_object_or_404(project.rounds, pk=round_id)
    return redirect("rounds:detail", project.pk, row.pk)
