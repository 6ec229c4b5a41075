"""The page of the queue."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from webapp.accounts.requests import PersonRequest
from webapp.machine import programs
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.runs import waiting
from webapp.runs.models import FINAL, Run, Worker
from webapp.site.htmx import render_page
from webapp.site.pages import ROWS, count_up_to, page_of
from webapp.site.stamps import once


@login_required
@require_safe
def index(request: PersonRequest, project_id: int) -> HttpResponse:
    """The queue with the reason each run waits, the workers, and what has finished."""
    project = project_for(request.user, project_id, can=Action.SEE_RUNS)
    stamp = waiting.stamp_of_queue(project.pk)
    if request.htmx and not request.htmx.history_restore_request:
        return _queue(project, stamp)
    done = project.runs.filter(state__in=FINAL)
    context = queue_standing(project, stamp) | {
        "page": page_of(done, request.GET, "-ended_at", "-pk"),
        "has_model": project.artifacts.models().exists(),
    }
    return render_page(request, "runs/list.html", context, partial="queue")


def _queue(project: Project, stamp: str) -> HttpResponse:
    """What is not over, drawn once for all who watch it."""

    def draw() -> str:
        return render_to_string("runs/list.html#queue", queue_standing(project, stamp))

    # Nothing is under way: whoever still asks is shown so, and asks no more.
    drawn = once(("queue", project.pk, stamp, get_language()), draw) if stamp else draw()
    response = HttpResponse(drawn)
    patch_vary_headers(response, ["HX-Request"])
    return response


def queue_standing(project: Project, stamp: str) -> dict[str, Any]:
    """What the page shows of the queue, the workers and the programs."""
    queue = waiting.queue(project)
    all_ = Run.objects.under_way().filter(project=project)
    return {
        "project": project,
        "stamp": stamp,
        "queue": queue,
        "more": count_up_to(all_) - len(queue) if len(queue) == ROWS else 0,
        "workers": Worker.objects.order_by("host", "pk"),
        "live": set(waiting.live_workers().values_list("pk", flat=True)),
        "programs": programs.read(),
    }
