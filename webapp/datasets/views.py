"""Pages of snapshots, and of files that come in and go out."""

import json
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alignment.rows.formats import FORMATS
from webapp.accounts.requests import PersonRequest
from webapp.artifacts.lineage import models_made_of
from webapp.datasets import queries, services
from webapp.datasets.changes import changes_between, changes_in_words, labels_in_words
from webapp.datasets.errors import SnapshotError
from webapp.datasets.exports.losses import losses_of
from webapp.datasets.filters import filter_in_words
from webapp.datasets.forms import (
    ColumnsForm,
    EarlierForm,
    ExportForm,
    FreezeForm,
    ImportForm,
    TakeForm,
)
from webapp.datasets.freezing import is_long, start_freezing
from webapp.datasets.imports.orders import start_import
from webapp.datasets.models import Snapshot
from webapp.datasets.uploads import is_too_large
from webapp.datasets.warnings import health_in_words, health_warnings
from webapp.jobs.models import Job, State
from webapp.jobs.services import start_job
from webapp.labeling.kinds.descriptor import LETTERS
from webapp.machine import uploads
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.projects.services import mark_of
from webapp.site.choices import found_for, sought_in
from webapp.site.htmx import render_page
from webapp.site.pages import page_of

FIRST_ROWS = 20  # shown of a snapshot
MOST_SHOWN = 50  # models that come of it, files that came before
MARK = 16  # digits that tell one choice of columns from another


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def index(request: PersonRequest, project_id: int) -> HttpResponse:
    """All snapshots, what the next one would hold, and the button that freezes it."""
    project = project_for(request.user, project_id, can=Action.FREEZE)
    asked = request.GET if "count" in request.GET else None
    form = FreezeForm(request.POST or asked, project=project)
    if request.method == "POST" and form.is_valid():
        return _freeze(request, project, form)
    rows = project.snapshots.annotate(used=Count("rounds")).select_related("created_by")
    counted = queries.count_wanted(project, form.wanted) if asked and form.is_valid() else None
    context = {
        "project": project,
        "form": form,
        "page": page_of(rows, request.GET, "-number"),
        "now": queries.unfrozen(project),
        "counted": counted,
    }
    return render_page(request, "datasets/snapshots.html", context, partial="wanted")


def _freeze(request: PersonRequest, project: Project, form: FreezeForm) -> HttpResponse:
    if is_long(project, form.wanted):
        job = start_freezing(project, form.wanted, key=f"freeze-{uuid4()}", by=request.user)
        return redirect("jobs:detail", project.pk, job.pk)
    last = project.snapshots.first()
    try:
        made = services.freeze_snapshot(project, form.wanted, by=request.user)
    except SnapshotError as refusal:
        messages.error(request, str(refusal))
        return redirect("datasets:snapshots", project.pk)
    if made == last:
        messages.info(request, _("Nothing has changed since {made}.").format(made=made))
    else:
        words = _("{made} is frozen: it will never change.")
        messages.success(request, words.format(made=made))
    return redirect("datasets:snapshot", project.pk, made.pk)


@login_required
@require_safe
def detail(request: PersonRequest, project_id: int, snapshot_id: int) -> HttpResponse:
    """One snapshot: what is in it, its hashes, and what was made from it."""
    project = project_for(request.user, project_id, can=Action.SEE_DATA)
    related = project.snapshots.select_related("artifact", "created_by")
    snapshot = get_object_or_404(related, pk=snapshot_id)
    health, erased = snapshot.manifest.get("health"), snapshot.erasures.exists()
    context = {
        "project": project,
        "snapshot": snapshot,
        "tallies": queries.answers_in_words(snapshot),
        "splits": queries.splits(snapshot),
        "warnings": health_warnings(snapshot.manifest),
        "health": list(health_in_words(health)) if health else [],
        "narrowed": list(filter_in_words(snapshot.manifest.get("filter", {}))),
        "rounds": snapshot.rounds.all(),
        "uses": snapshot.artifact.uses.select_related("run").order_by("-run"),
        "models": models_made_of([snapshot.artifact_id])[:MOST_SHOWN],
        "files": queries.files_before(snapshot)[:MOST_SHOWN],
        "erased": erased,
        "rows": (rows := [] if erased else queries.first_rows(snapshot, FIRST_ROWS)),
        "columns": LETTERS[: max((len(row.items) for row in rows), default=0)],
    }
    return render(request, "datasets/snapshot.html", context)


@login_required
@require_safe
def show_changes(request: PersonRequest, project_id: int, snapshot_id: int) -> HttpResponse:
    """What came and went since an earlier snapshot: the last before, or the one that is named."""
    project = project_for(request.user, project_id, can=Action.SEE_DATA)
    snapshot = get_object_or_404(project.snapshots.select_related("artifact"), pk=snapshot_id)
    last = project.snapshots.filter(number__lt=snapshot.number).first()
    asked = request.GET if "since" in request.GET else {"since": last.number if last else ""}
    form = EarlierForm(asked, snapshot=snapshot)
    context: dict[str, Any] = {"project": project, "snapshot": snapshot, "form": form, "last": last}
    if last and form.is_valid():
        older = context["older"] = form.cleaned_data["since"]
        try:
            found = changes_between(older, snapshot)
        except SnapshotError as refusal:
            context["refusal"] = refusal
        else:
            context |= {"rows": changes_in_words(found), "labels": labels_in_words(found)}
            context["guidelines"] = _guidelines_of(older) != _guidelines_of(snapshot)
    return render(request, "datasets/changes.html", context)


def _guidelines_of(snapshot: Snapshot) -> str:
    return str(snapshot.manifest.get("guidelines_sha256", ""))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def import_(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form that takes a file to look at, and the files that were looked at before."""
    project = project_for(request.user, project_id, can=Action.IMPORT_DATA)
    data, files = request.POST or None, request.FILES or None  # read before it is known
    form = ImportForm(data, files, too_large=is_too_large(request))
    if form.is_valid():
        file = form.cleaned_data["file"]
        upload = uploads.keep_file(file)
        payload = {"upload": upload, "name": file.name, "format": form.cleaned_data["format"]}
        job = start_job(project, kind="preview", payload=payload, key=upload, by=request.user)
        return redirect("jobs:detail", project.pk, job.pk)
    made = project.jobs.filter(kind__in=("preview", "import")).select_related("created_by")
    page = page_of(made, request.GET, "-pk")
    context = {"project": project, "form": form, "page": page, "formats": FORMATS.values()}
    return render(request, "datasets/import.html", context)


@login_required
@require_POST
def confirm(request: PersonRequest, project_id: int, job_id: int) -> HttpResponse:
    """Take in a file that was looked at; a second click finds the same import."""
    project = project_for(request.user, project_id, can=Action.IMPORT_DATA)
    seen = project.jobs.filter(kind="preview", state=State.DONE)
    preview = get_object_or_404(seen, pk=job_id)
    if "look" in request.POST:
        return _look_again(request, preview)
    if not preview.result.get("rows", 1):
        raise Http404
    form = TakeForm(request.POST, found=preview.result)
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, " ".join(map(str, errors)))
        return redirect("jobs:detail", project.pk, preview.pk)
    job = start_import(preview, form.cleaned_data, by=request.user)
    return redirect("jobs:detail", project.pk, job.pk)


def _look_again(request: PersonRequest, preview: Job) -> HttpResponse:
    """Look at the same file with other columns."""
    form = ColumnsForm(request.POST, found=preview.result)
    if not form.is_valid():
        messages.error(request, " ".join(map(str, form.non_field_errors())))
        return redirect("jobs:detail", preview.project_id, preview.pk)
    payload = preview.payload | {"roles": form.roles}
    key = f"{preview.pk}-{mark_of(json.dumps(form.roles))[:MARK]}"
    job = start_job(preview.project, kind="preview", payload=payload, key=key, by=request.user)
    return redirect("jobs:detail", preview.project_id, job.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def export(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form that asks for a format, what that leaves out, and the exports made before."""
    project = project_for(request.user, project_id, can=Action.EXPORT_DATA)
    chosen = {name: request.GET[name] for name in ("snapshot", "format") if name in request.GET}
    initial = {"key": uuid4()} | chosen | sought_in(request.GET)
    form = ExportForm(request.POST or None, initial=initial, project=project)
    if (found := found_for(request, form)) is not None:
        return found
    if form.is_valid():
        key = str(form.cleaned_data["key"])
        job = start_job(project, kind="export", payload=form.payload(), key=key, by=request.user)
        return redirect("jobs:detail", project.pk, job.pk)
    made = project.jobs.filter(kind="export").select_related("created_by")
    page = page_of(made, request.GET, "-pk")
    snapshot = form.snapshot_shown()
    context = {
        "project": project,
        "form": form,
        "chosen": (chosen_format := form.format_shown()),
        "snapshot": snapshot,
        "losses": losses_of(snapshot, chosen_format) if snapshot else [],
        "page": page,
    }
    return render_page(request, "datasets/export.html", context, partial="losses")
