"""Sweeps: runs with varied settings."""

from collections.abc import Iterator

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import Query, Router

from alignment.kinds.kind import Kind
from webapp.api.bearer import ApiRequest, open_project
from webapp.api.errors import FieldsError
from webapp.api.filled import filled
from webapp.api.once import name_of
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import SweepSchema, TrialSchema
from webapp.api.sent import SweepSent
from webapp.launch.offers import offered
from webapp.projects.access import Action
from webapp.projects.models import Project
from webapp.sweeps.actions import SWEEP_ACTIONS
from webapp.sweeps.form import ROWS, SEARCH, SweepForm
from webapp.sweeps.models import Sweep, Trial
from webapp.sweeps.services import start_sweep
from webapp.sweeps.views import sweep_plan

router = Router(tags=["sweeps"])


def sweep_in(
    request: ApiRequest, project_id: int, sweep_id: int, can: Action = Action.SEE_RUNS
) -> Sweep:
    """The sweep, if token and person may do this to it."""
    return get_object_or_404(open_project(request, project_id, can).sweeps, pk=sweep_id)


@router.get("/projects/{project_id}/sweeps", response=PageSchema[SweepSchema])
def list_sweeps(request: ApiRequest, project_id: RowId, paging: Query[Paging]) -> ListPart[Sweep]:
    """Sweeps, the newest first."""
    project = open_project(request, project_id, Action.SEE_RUNS)
    return list_part(project.sweeps.all(), paging, newest=True)


@router.get("/projects/{project_id}/sweeps/{sweep_id}", response=SweepSchema)
def get_sweep(request: ApiRequest, project_id: RowId, sweep_id: RowId) -> Sweep:
    """One sweep."""
    return sweep_in(request, project_id, sweep_id)


@router.get("/projects/{project_id}/sweeps/{sweep_id}/trials", response=PageSchema[TrialSchema])
def list_trials(
    request: ApiRequest, project_id: RowId, sweep_id: RowId, paging: Query[Paging]
) -> ListPart[Trial]:
    """Its trials, in the order in which they began."""
    return list_part(sweep_in(request, project_id, sweep_id).trials.all(), paging)


@router.post(
    "/projects/{project_id}/sweeps", response={201: SweepSchema}, operation_id="start_sweep"
)
def begin_sweep(request: ApiRequest, project_id: RowId, sent: SweepSent) -> Sweep:
    """Start a sweep of a kind of run that a page offers, checked as there."""
    project = open_project(request, project_id, Action.START_RUNS)
    if (kind := offered().get(sent.kind)) is None:
        words = _("There is no kind of run of this name; there is: {names}.")
        raise FieldsError({"kind": words.format(names=", ".join(offered()))})
    if len(sent.vary) > ROWS:
        words = _("A sweep varies {n} settings at most.")
        raise FieldsError({"vary": words.format(n=ROWS)})
    return start_sweep(project, sweep_plan(_form(request, project, kind, sent), request.user))


def _form(request: ApiRequest, project: Project, kind: Kind, sent: SweepSent) -> SweepForm:
    """The page's form, filled in; what it refuses is called as it was sent."""
    own, names = dict(_fields(kind, sent)), dict(_names(kind, sent))
    own |= {"key": name_of(request), "name": sent.name or kind.suggested}
    own |= sent.dict(include={"seed", "anyway", "objective", "better", "watched"})
    try:
        return filled(SweepForm, own | sent.inputs, kind=kind, project=project)
    except FieldsError as error:
        fields = {names.get(name, name): words for name, words in error.fields.items()}
        raise FieldsError(fields) from None


def _fields(kind: Kind, sent: SweepSent) -> Iterator[tuple[str, object]]:
    """What was sent of a run's settings, of what is varied and of the search, as the form calls it."""
    yield from ((f"{kind.name}-{name}", value) for name, value in sent.settings.items())
    yield from ((f"{SEARCH}-{name}", value) for name, value in sent.search.items())
    for number, (name, values) in enumerate(sent.vary.items()):
        yield f"vary_{number}", name
        yield f"values_{number}", values


def _names(kind: Kind, sent: SweepSent) -> Iterator[tuple[str, str]]:
    """What the form's fields were called by who sent them."""
    yield from ((f"{kind.name}-{name}", f"settings.{name}") for name in sent.settings)
    yield from ((f"{SEARCH}-{name}", f"search.{name}") for name in sent.search)
    yield from ((role, f"inputs.{role}") for role in sent.inputs)
    for number, name in enumerate(sent.vary):
        yield f"vary_{number}", f"vary.{name}"
        yield f"values_{number}", f"vary.{name}"


@router.post("/projects/{project_id}/sweeps/{sweep_id}/{action}", response=SweepSchema)
def act_on_sweep(request: ApiRequest, project_id: RowId, sweep_id: RowId, action: str) -> Sweep:
    """Pause, resume or cancel it, or retry what failed."""
    sweep = sweep_in(request, project_id, sweep_id, Action.START_RUNS)
    if action not in SWEEP_ACTIONS:
        raise Http404
    SWEEP_ACTIONS[action].service(sweep, by=request.user)
    sweep.refresh_from_db()
    return sweep
