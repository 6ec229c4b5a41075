"""The page of texts with classes: those that are here, and the form that adds some."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from webapp.accounts.requests import PersonRequest
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.datasets.texts.forms import TextsForm
from webapp.datasets.texts.jobs import HOW
from webapp.datasets.uploads import is_too_large
from webapp.jobs.services import start_job
from webapp.machine import uploads
from webapp.projects.access import Action, project_for
from webapp.site.pages import number_of, page_of


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def texts(request: PersonRequest, project_id: int) -> HttpResponse:
    """The files of texts of a project, newest first; one that is sent is looked at by a job."""
    project = project_for(request.user, project_id, can=Action.IMPORT_DATA)
    data, files = request.POST or None, request.FILES or None  # read before it is known
    form = TextsForm(data, files, too_large=is_too_large(request))
    if form.is_valid():
        chosen = form.cleaned_data
        upload = uploads.keep_file(chosen["file"])
        payload = {"upload": upload, "name": chosen["file"].name}
        payload |= {name: chosen[name] for name in HOW}
        job = start_job(project, kind="texts", payload=payload, key=upload, by=request.user)
        return redirect("jobs:detail", project.pk, job.pk)
    rows = project.artifacts.filter(type=Artifact.Type.TEXTS).order_by("-pk")
    rows = rows.annotate(used=number_of(ArtifactInput.objects.all(), "artifact"))
    page = page_of(rows, request.GET, "-pk")
    return render(request, "datasets/texts.html", {"project": project, "form": form, "page": page})
