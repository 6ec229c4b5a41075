"""Pages of snapshots: the list with its freeze button, and one snapshot."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from webapp.datasets import queries, services
from webapp.datasets.errors import SnapshotError
from webapp.datasets.forms import FreezeForm
from webapp.htmx import HtmxRequest
from webapp.projects.access import Action, project_for

ROWS = 50  # of a page of a table
FIRST_ROWS = 20  # shown of a snapshot


@login_required
@require_http_methods(["GET", "POST"])
def index(request: HtmxRequest, project_id: int) -> HttpResponse:
    """All snapshots, what the next one would hold, and the button that freezes it."""
    project = project_for(request.user, project_id, can=Action.FREEZE)
    form = FreezeForm(request.POST or None)
    if form.is_valid():
        try:
            made = services.freeze_snapshot(project, by=request.user, **form.cleaned_data)
        except SnapshotError as refusal:
            messages.error(request, str(refusal))
            return redirect("datasets:snapshots", project.pk)
        messages.success(request, f"{made} is frozen: it will never change.")
        return redirect("datasets:snapshot", project.pk, made.pk)
    listed = project.snapshots.annotate(used=Count("rounds")).order_by("-number")
    rows = listed.select_related("created_by")
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    context = {"project": project, "form": form, "page": page, "now": queries.unfrozen(project)}
    return render(request, "datasets/snapshots.html", context)


@login_required
@require_GET
def detail(request: HtmxRequest, project_id: int, snapshot_id: int) -> HttpResponse:
    """One snapshot: what is in it, its hashes, and what was made from it."""
    project = project_for(request.user, project_id, can=Action.SEE_DATA)
    related = project.snapshots.select_related("artifact", "created_by")
    snapshot = get_object_or_404(related, pk=snapshot_id)
    context = {
        "project": project,
        "snapshot": snapshot,
        "choices": queries.choices_in_words(snapshot),
        "splits": queries.splits(snapshot),
        "rounds": snapshot.rounds.all(),
        "uses": snapshot.artifact.uses.select_related("run").order_by("-run"),
        "rows": queries.first_rows(snapshot, FIRST_ROWS),
    }
    return render(request, "datasets/snapshot.html", context)
