"""The page on which an admin has a person's data erased, and sees where copies are left."""

from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.models import User
from webapp.accounts.requests import PersonRequest
from webapp.artifacts.models import Artifact
from webapp.datasets.models import Erasure, Snapshot
from webapp.erasure.copies import models_holding, remove_file, results_holding
from webapp.erasure.errors import ErasureError
from webapp.erasure.forms import ConfirmForm, PersonForm
from webapp.erasure.holdings import PersonalData, holdings_in_words
from webapp.erasure.services import check_may_erase, resume_erasure, start_erasure
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.site.errors import Refusal
from webapp.site.htmx import is_key
from webapp.site.pages import page_of
from webapp.site.words import Words

SHOWN = 20  # snapshots, models and results of one erasure
REMOVED: dict[str, Words] = {  # what `work` counts
    "labels": gettext_lazy("Labels"),
    "prompts": gettext_lazy("Prompts"),
    "answers": gettext_lazy("Answers"),
    "decisions": gettext_lazy("Decisions about disagreements"),
    "others": gettext_lazy("Labels by others about what this person wrote"),
}


class CopiesLeft(NamedTuple):
    """An erasure, with how much it removed of what, and what holds copies."""

    erasure: Erasure
    removed: list[tuple[Words, int]]
    snapshots: list[Snapshot]
    models: list[Artifact]
    results: list[Artifact]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def erasures(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form that asks for an erasure, what it would take, and the erasures so far."""
    project = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    if "go_on" in request.POST:
        return _go_on(request, project)
    asked = ConfirmForm(request.POST or None, project=project)
    if asked.is_valid():
        try:
            job = start_erasure(project, asked.cleaned_data["name"], by=request.user)
        except Refusal as refusal:
            asked.add_error(None, str(refusal))
        else:
            return redirect("jobs:detail", project.pk, job.pk)
    page = page_of(project.erasures.select_related("person"), request.GET, "-pk")
    context = {"project": project, "page": page, "left": list(map(_left, page))}
    context |= _preview(request, project, asked)
    return render(request, "erasure/erasures.html", context)


def _preview(request: PersonRequest, project: Project, asked: ConfirmForm) -> dict[str, Any]:
    """What would go, once somebody is named."""
    form = PersonForm(request.GET if "name" in request.GET else None, project=project)
    found: dict[str, Any] = {"form": form}
    if form.is_valid():
        person: User = form.cleaned_data["name"]
        try:
            check_may_erase(request.user, person)
        except ErasureError as refusal:
            return found | {"refusal": refusal}
        data = PersonalData(project, person)
        if not asked.is_bound:
            asked = ConfirmForm(initial={"name": person.username}, project=project)
        found |= {"person": person, "holdings": holdings_in_words(data), "asked": asked}
    return found


def _left(erasure: Erasure) -> CopiesLeft:
    snapshots = list(erasure.snapshots.select_related("artifact")[:SHOWN])
    counts = [(words, erasure.counts.get(name, 0)) for name, words in REMOVED.items()]
    removed = [(words, n) for words, n in counts if n]
    models, results = models_holding(snapshots), results_holding(snapshots)
    return CopiesLeft(erasure, removed, snapshots, models[:SHOWN], results[:SHOWN])


@transaction.atomic
def _go_on(request: PersonRequest, project: Project) -> HttpResponse:
    """Take up what was stopped."""
    key = request.POST["go_on"]
    left = project.erasures.filter(done_at=None).select_related("person")
    erasure = get_object_or_404(left, pk=key if is_key(key) else 0)
    job = resume_erasure(project, erasure.person, by=request.user)
    return redirect("jobs:detail", project.pk, job.pk)


@login_required
@require_POST
def remove_snapshot_file(request: PersonRequest, project_id: int, snapshot_id: int) -> HttpResponse:
    """Remove the file of a snapshot that holds erased data."""
    project = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    snapshot = get_object_or_404(project.snapshots.select_related("artifact"), pk=snapshot_id)
    try:
        remove_file(snapshot, by=request.user)
    except ErasureError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The file of {snapshot} is gone.").format(snapshot=snapshot))
    return redirect("datasets:snapshot", project.pk, snapshot.pk)
