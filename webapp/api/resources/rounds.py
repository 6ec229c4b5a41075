"""Rounds of the loop."""

from collections.abc import Callable, Mapping

from django.http import Http404
from django.shortcuts import get_object_or_404
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.filled import filled
from webapp.api.once import name_of
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import RoundSchema
from webapp.api.sent import RoundSent
from webapp.projects.access import Action
from webapp.projects.models import Project
from webapp.rounds.forms import RoundForm
from webapp.rounds.models import Round
from webapp.rounds.plans import plan_from
from webapp.rounds.queries import with_parts
from webapp.rounds.services import cancel_round, retry_round, start_round

router = Router(tags=["rounds"])
NAMED = {"preset", "snapshot", "policy"}  # as an address of the page names them
ACTS: Mapping[str, Callable[..., int]] = {"cancel": cancel_round, "retry": retry_round}


def round_in(project: Project, round_id: int) -> Round:
    """The round with its runs."""
    return get_object_or_404(with_parts(project.rounds.all()), pk=round_id)


@router.get("/projects/{project_id}/rounds", response=PageSchema[RoundSchema])
def list_rounds(request: ApiRequest, project_id: RowId, paging: Query[Paging]) -> ListPart[Round]:
    """Rounds, the newest first."""
    project = open_project(request, project_id, Action.SEE_ROUNDS)
    return list_part(with_parts(project.rounds.all()), paging, newest=True)


@router.get("/projects/{project_id}/rounds/{round_id}", response=RoundSchema)
def get_round(request: ApiRequest, project_id: RowId, round_id: RowId) -> Round:
    """One round."""
    return round_in(open_project(request, project_id, Action.SEE_ROUNDS), round_id)


@router.post(
    "/projects/{project_id}/rounds", response={201: RoundSchema}, operation_id="start_round"
)
def begin_round(request: ApiRequest, project_id: RowId, sent: RoundSent) -> Round:
    """Queue all runs of a round, checked as its page would."""
    project = open_project(request, project_id, Action.START_ROUNDS)
    named = {name: str(value) for name, value in sent.dict(include=NAMED).items() if value}
    plan = plan_from(project, named)
    given: dict[str, object] = {
        f"{part}-{name}": value
        for part, some in sent.settings.items()
        for name, value in some.items()
    }
    chosen = sent.dict(include={*NAMED, "backbone", "seed"} - {"preset"}, exclude_none=True)
    key = name_of(request)
    form = filled(
        RoundForm, given | chosen, project=project, start=plan.config, initial=plan.initial(key)
    )
    asked = form.cleaned_data
    made = start_round(
        snapshot=asked["snapshot"],
        policy=asked["policy"],
        backbone=asked["backbone"],
        config=form.config,
        key=str(key),
        created_by=request.user,
    )
    return round_in(project, made.pk)


@router.post("/projects/{project_id}/rounds/{round_id}/{action}", response=RoundSchema)
def act_on_round(request: ApiRequest, project_id: RowId, round_id: RowId, action: str) -> Round:
    """Cancel what is left of a round, or retry what failed."""
    project = open_project(request, project_id, Action.START_ROUNDS)
    row = round_in(project, round_id)
    if action not in ACTS:
        raise Http404
    ACTS[action](row, by=request.user)
    return round_in(project, row.pk)
