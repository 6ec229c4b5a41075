"""Pages of quality: how far people agree, and how each of them answers."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from webapp.accounts.requests import PersonRequest
from webapp.labeling.models import Label
from webapp.projects.access import Action, project_for
from webapp.quality import queries
from webapp.quality.measures import FASTEST
from webapp.quality.services import start_measuring
from webapp.site.pages import ROWS, page_of_list


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def report(request: PersonRequest, project_id: int) -> HttpResponse:
    """What was measured of the labels; a POST measures them anew."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    if request.method == "POST":
        job = start_measuring(project, by=request.user)
        return redirect("jobs:detail", project.pk, job.pk)
    context: dict[str, object] = {"project": project, "fastest": FASTEST}
    if found := queries.report_of(project):
        page = page_of_list(found.figures["people"], request.GET, ROWS)
        context |= {
            "report": found,
            "since": queries.labels_since(found),
            "agreements": queries.agreements(found),
            "rulers": queries.null_rulers(found),
            "people": queries.people(page),
            "page": page,
        }
    else:
        context["any_labels"] = Label.objects.current().filter(project=project).exists()
    return render(request, "quality/report.html", context)
