"""Runs: what they were told, how far they are, what they measured."""

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import Query, Router

from alignment.kinds.kind import Kind
from webapp.api.bearer import ApiRequest, open_project
from webapp.api.errors import FieldsError
from webapp.api.filled import filled
from webapp.api.once import name_of
from webapp.api.paging import LARGEST, ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import EventSchema, MetricSchema, RunDetailSchema, RunSchema
from webapp.api.sent import RunSent
from webapp.launch.defaults import Proposal, like
from webapp.launch.form import StartForm
from webapp.launch.offers import offered
from webapp.projects.access import Action
from webapp.projects.models import Project
from webapp.runs.actions import ACTIONS
from webapp.runs.models import Run, RunEvent, RunMetric
from webapp.runs.points import reached, shown_metrics
from webapp.runs.services import Order, start_run

router = Router(tags=["runs"])


def run_in(request: ApiRequest, project_id: int, run_id: int, can: Action = Action.SEE_RUNS) -> Run:
    """The run, if token and person may do this to it."""
    return get_object_or_404(open_project(request, project_id, can).runs, pk=run_id)


@router.get("/projects/{project_id}/runs", response=PageSchema[RunSchema])
def list_runs(
    request: ApiRequest, project_id: RowId, paging: Query[Paging], kind: str = "", state: str = ""
) -> ListPart[Run]:
    """Runs, the newest first; of one kind or in one state where that is named."""
    project = open_project(request, project_id, Action.SEE_RUNS)
    asked = {name: word for name, word in (("kind", kind), ("state", state)) if word}
    return list_part(project.runs.filter(**asked), paging, newest=True)


@router.get("/projects/{project_id}/runs/{run_id}", response=RunDetailSchema)
def get_run(request: ApiRequest, project_id: RowId, run_id: RowId) -> Run:
    """One run."""
    return run_in(request, project_id, run_id)


@router.get("/projects/{project_id}/runs/{run_id}/events", response=PageSchema[EventSchema])
def list_events(
    request: ApiRequest, project_id: RowId, run_id: RowId, paging: Query[Paging], since: int = 0
) -> ListPart[RunEvent]:
    """Changes of state, the oldest first; `since` is the id of the last one that is known."""
    run = run_in(request, project_id, run_id)
    return list_part(run.events.filter(pk__gt=max(0, min(since, LARGEST))), paging)


@router.get("/projects/{project_id}/runs/{run_id}/metrics", response=PageSchema[MetricSchema])
def list_metrics(
    request: ApiRequest, project_id: RowId, run_id: RowId, paging: Query[Paging], key: str = ""
) -> ListPart[RunMetric]:
    """Numbers of the run's steps as they were told; of one curve where its key is named."""
    run = run_in(request, project_id, run_id)
    rows = shown_metrics(run, 0, reached(run))
    return list_part(rows.filter(key=key) if key else rows, paging)


@router.post(
    "/projects/{project_id}/runs", response={201: RunDetailSchema}, operation_id="start_run"
)
def queue_run(request: ApiRequest, project_id: RowId, sent: RunSent) -> Run:
    """Queue a run of any kind that a page offers, checked as there."""
    project = open_project(request, project_id, Action.START_RUNS)
    if (kind := offered().get(sent.kind)) is None:
        words = _("There is no kind of run of this name; there is: {names}.")
        raise FieldsError({"kind": words.format(names=", ".join(offered()))})
    before = None
    if sent.extends is not None:
        before = get_object_or_404(project.runs.filter(kind=kind.name), pk=sent.extends)
    form = _form(request, project, kind, sent, before)
    order = Order(
        kind=kind.name,
        name=form.cleaned_data["name"],
        config=form.config,
        seed=form.cleaned_data["seed"],
        inputs=form.inputs,
        key=str(form.cleaned_data["key"]),
        extends=before,
        dry=sent.dry_run,
        created_by=request.user,
    )
    return start_run(project, order)


def _form(
    request: ApiRequest, project: Project, kind: Kind, sent: RunSent, before: Run | None
) -> StartForm:
    """The page's form, filled in; what it refuses is called as it was sent."""
    start = like(kind, before) if before else Proposal({"seed": sent.seed}, kind.settings())
    names = {f"{kind.name}-{name}": f"settings.{name}" for name in sent.settings}
    names |= {role: f"inputs.{role}" for role in sent.inputs}
    given: dict[str, Any] = {f"{kind.name}-{name}": value for name, value in sent.settings.items()}
    given |= start.initial | sent.dict(include={"seed"}, exclude_unset=True) | sent.inputs
    given |= {"key": name_of(request), "name": sent.name or kind.suggested, "anyway": sent.anyway}
    try:
        form = filled(StartForm, given, kind=kind, project=project, start=start.config)
    except FieldsError as error:
        fields = {names.get(name, name): words for name, words in error.fields.items()}
        raise FieldsError(fields) from None
    if unread := [role for role, one in sent.inputs.items() if one and role not in form.inputs]:
        words = _("Nothing reads it with these settings; leave it out, or change them.")
        raise FieldsError({names[role]: words for role in unread})
    return form


@router.post("/projects/{project_id}/runs/{run_id}/{action}", response=RunDetailSchema)
def act_on_run(request: ApiRequest, project_id: RowId, run_id: RowId, action: str) -> Run:
    """Cancel, pause, resume, try again, or evaluate the newest checkpoint; the last two answer the new run."""
    run = run_in(request, project_id, run_id, Action.START_RUNS)
    if action not in ACTIONS:
        raise Http404
    return ACTIONS[action].service(run, by=request.user)
