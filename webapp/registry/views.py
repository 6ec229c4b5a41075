"""Pages of models: the list, adding one, and one model with its lineage."""

from uuid import uuid4

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.artifacts.sources import SOURCES
from webapp.machine.bodies import body_limit, takes, was_cut
from webapp.projects.access import Action, may, project_for, role_in
from webapp.projects.models import Project
from webapp.registry import queries
from webapp.registry.adapters import adapter_in, packed_adapter
from webapp.registry.adding import add_model
from webapp.registry.forms import FORMS, AddForm
from webapp.registry.plot import picture_of
from webapp.registry.smaller import COSTS, SAVED, size_board, ways_for
from webapp.runs.models import Run
from webapp.runs.services import Order
from webapp.site.choices import found_for, sought_in
from webapp.site.errors import Refusal
from webapp.site.htmx import is_key
from webapp.site.pages import page_of

MOST_SHOWN = 50  # models that are coming, runs that used one


@login_required
@require_safe
def index(request: PersonRequest, project_id: int) -> HttpResponse:
    """All models and reward models of the project, newest first."""
    project = project_for(request.user, project_id, can=Action.SEE_MODELS)
    page = page_of(queries.listed(project), request.GET, "-pk")
    context = {"project": project, "page": page, "coming": queries.coming(project)[:MOST_SHOWN]}
    return render(request, "registry/models.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form that adds a model of the Hub, or with ?source=folder of an allowed folder."""
    project = project_for(request.user, project_id, can=Action.ADD_MODELS)
    chosen = request.GET.get("source", "hub")
    if chosen not in ("hub", "folder"):
        raise Http404
    return _form_page(request, project, chosen)


@takes(lambda: settings.MODEL_GIB * 2**30)
@csrf_exempt  # csrf_protect follows once it is known who sends so much: it reads the whole body
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form that uploads a model."""
    project = project_for(request.user, project_id, can=Action.UPLOAD_MODELS)
    if request.method == "POST" and _too_large(request):
        messages.error(
            request, _("A model may have at most {gib} GiB.").format(gib=f"{settings.MODEL_GIB:g}")
        )
        return redirect("registry:upload", project.pk)
    request.upload_handlers = [TemporaryFileUploadHandler(request)]  # others limit other uploads
    return csrf_protect(_form_page)(request, project, "upload")


def _too_large(request: PersonRequest) -> bool:
    """Whether more came, or is coming, than a model may have; asked before it is read."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return was_cut(request) or not is_key(length) or int(length) > body_limit(upload)


def _form_page(request: PersonRequest, project: Project, chosen: str) -> HttpResponse:
    form = FORMS[chosen](
        request.POST or None,
        request.FILES or None,
        initial={"key": uuid4()} | sought_in(request.GET),
        project=project,
    )
    if (found := found_for(request, form)) is not None:
        return found
    if form.is_valid() and (run := add_from(request, project, form)) is not None:
        return redirect("runs:detail", project.pk, run.pk)
    role = role_in(request.user, project)
    context = {
        "project": project,
        "form": form,
        "sources": [
            {"name": name, "url": address_of(project, name), **source._asdict()}
            for name, source in SOURCES.items()
            if may(role, source.needs)
        ],
        "chosen": chosen,
        "hub": settings.HUB,
        "limit": settings.MODEL_GIB,
    }
    return render(request, "registry/add.html", context)


def address_of(project: Project, source: str) -> str:
    """Where the form of a source is."""
    if source == "upload":
        return reverse("registry:upload", args=[project.pk])
    return f"{reverse('registry:add', args=[project.pk])}?source={source}"


def add_from(request: PersonRequest, project: Project, form: AddForm) -> Run | None:
    """Queue what the form describes; a refusal is told in the form."""
    asked = form.cleaned_data
    try:
        order = Order(
            kind="import",
            name=asked["name"],
            config=form.config,
            inputs={"base": asked["base"]} if asked["base"] else {},
            key=str(asked["key"]),
            created_by=request.user,
        )
        return add_model(project, order, asked.get("files", ()))
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        return None


@login_required
@require_safe
def detail(request: PersonRequest, project_id: int, artifact_id: int) -> HttpResponse:
    """One model: where it comes from, what it measured, what was made from it."""
    project = project_for(request.user, project_id, can=Action.SEE_MODELS)
    model = get_object_or_404(queries.listed(project), pk=artifact_id)
    context = {
        "project": project,
        "model": model,
        "has_adapter": adapter_in(model) is not None,
        "numbers": queries.numbers(model),
        "memory": queries.memory(model),
        "ancestors": (ancestors := queries.ancestors(model)),
        "erased": queries.holds_erased(ancestors),
        "uses": queries.uses(model)[:MOST_SHOWN],
    }
    return render(request, "registry/model.html", context)


@login_required
@require_safe
def adapter(request: PersonRequest, project_id: int, artifact_id: int) -> FileResponse:
    """The adapter that was kept beside a model, as one file."""
    project = project_for(request.user, project_id, can=Action.SEE_MODELS)
    model = get_object_or_404(queries.listed(project), pk=artifact_id)
    if (folder := adapter_in(model)) is None:
        raise Http404
    name = f"adapter-{model.pk}.zip"
    return FileResponse(packed_adapter(folder), as_attachment=True, filename=name)


@login_required
@require_safe
def smaller(request: PersonRequest, project_id: int, artifact_id: int) -> HttpResponse:
    """The small models of one original, each with what it saves and what it costs."""
    project = project_for(request.user, project_id, can=Action.SEE_MODELS)
    model = get_object_or_404(queries.listed(project), pk=artifact_id)
    board = size_board(model, request.GET)
    context = {
        "project": project,
        "model": model,
        "board": board,
        "picture": picture_of(board),
        "saved": SAVED.values(),
        "costs": COSTS.values(),
        "ways": ways_for(model),
    }
    return render(request, "registry/smaller.html", context)
