"""Pages of rewards from code: those that are here, the form that adds one, and what one says."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from alignment.foreign.code_files import SOURCE
from alignment.foreign.rewards import confinement_fault
from webapp.accounts.requests import PersonRequest
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.projects.access import Action, may, project_for, role_in
from webapp.registry.code import add_code
from webapp.registry.forms import CodeForm
from webapp.registry.queries import uses
from webapp.site.errors import Refusal
from webapp.site.pages import number_of, page_of

MOST_SHOWN = 50  # runs that used one


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def codes(request: PersonRequest, project_id: int) -> HttpResponse:
    """The rewards from code of a project, newest first; an admin adds one."""
    asked = Action.ADD_CODE if request.method == "POST" else Action.SEE_MODELS
    project = project_for(request.user, project_id, can=asked)
    adds = may(role_in(request.user, project), Action.ADD_CODE)
    fault = confinement_fault() if adds else ""
    form = CodeForm(request.POST or None, request.FILES or None)
    if adds and not fault and form.is_valid():
        sent = {name: form.cleaned_data[name] for name in ("name", "function", "source")}
        try:
            made = add_code(project, by=request.user, **sent)
            return redirect("registry:source", project.pk, made.pk)
        except Refusal as refusal:
            form.add_error(None, str(refusal))
    rows = project.artifacts.filter(type=Artifact.Type.CODE).order_by("-pk")
    rows = rows.annotate(used=number_of(ArtifactInput.objects.all(), "artifact"))
    page = page_of(rows, request.GET, "-pk")
    context = {"project": project, "form": form, "page": page, "adds": adds, "fault": fault}
    return render(request, "registry/codes.html", context)


@login_required
@require_safe
def source(request: PersonRequest, project_id: int, artifact_id: int) -> HttpResponse:
    """One reward from code as it stands in its file, and the runs that read it."""
    project = project_for(request.user, project_id, can=Action.SEE_MODELS)
    code = get_object_or_404(project.artifacts, type=Artifact.Type.CODE, pk=artifact_id)
    context = {
        "project": project,
        "code": code,
        "text": (code.path / SOURCE).read_text(encoding="utf-8"),
        "uses": uses(code)[:MOST_SHOWN],
    }
    return render(request, "registry/source.html", context)
