"""Pages of models: the list, and one model with its lineage."""

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from webapp.htmx import HtmxRequest
from webapp.projects.access import Action, project_for
from webapp.registry import queries

ROWS = 50  # of a page of a table


@login_required
@require_GET
def index(request: HtmxRequest, project_id: int) -> HttpResponse:
    """All models and reward models of the project, newest first."""
    project = project_for(request.user, project_id, can=Action.SEE_MODELS)
    page = Paginator(queries.listed(project), ROWS).get_page(request.GET.get("page"))
    return render(request, "registry/models.html", {"project": project, "page": page})


@login_required
@require_GET
def detail(request: HtmxRequest, project_id: int, artifact_id: int) -> HttpResponse:
    """One model: where it comes from, what it measured, what was made from it."""
    project = project_for(request.user, project_id, can=Action.SEE_MODELS)
    model = get_object_or_404(queries.listed(project), pk=artifact_id)
    context = {
        "project": project,
        "model": model,
        "numbers": queries.numbers(model),
        "ancestors": queries.ancestors(model),
        "uses": queries.uses(model)[:ROWS],
    }
    return render(request, "registry/model.html", context)
