"""The page of the queue."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from webapp.accounts.requests import PersonRequest
from webapp.machine import programs
from webapp.projects.access import Action, project_for
from webapp.runs import waiting
from webapp.runs.models import FINAL, Worker
from webapp.site.htmx import render_page
from webapp.site.pages import page_of


@login_required
@require_safe
def index(request: PersonRequest, project_id: int) -> HttpResponse:
    """The queue with the reason each run waits, the workers, and what has finished."""
    project = project_for(request.user, project_id, can=Action.SEE_RUNS)
    done = project.runs.filter(state__in=FINAL)
    context = {
        "project": project,
        "queue": waiting.queue(project),
        "workers": Worker.objects.order_by("host", "pk"),
        "live": set(waiting.live_workers().values_list("pk", flat=True)),
        "programs": programs.read(),
        "page": page_of(done, request.GET, "-ended_at", "-pk"),
        "has_model": project.artifacts.models().exists(),
    }
    return render_page(request, "runs/list.html", context, partial="queue")
