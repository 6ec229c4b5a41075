"""Rounds of the loop."""

from django.shortcuts import get_object_or_404
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, reach
from webapp.api.paging import Listed, Part, RowId, Turn, part_of
from webapp.api.schemas import RoundSchema
from webapp.projects.access import Action
from webapp.projects.models import Project
from webapp.rounds.models import Round
from webapp.rounds.queries import with_parts

router = Router(tags=["rounds"])


def round_in(project: Project, round_id: int) -> Round:
    """The round with its runs."""
    return get_object_or_404(with_parts(project.rounds.all()), pk=round_id)


@router.get("/projects/{project_id}/rounds", response=Listed[RoundSchema])
def list_rounds(request: ApiRequest, project_id: RowId, turn: Query[Turn]) -> Part[Round]:
    """Rounds, the newest first."""
    project = reach(request, project_id, Action.SEE_ROUNDS)
    return part_of(with_parts(project.rounds.all()), turn, newest=True)


@router.get("/projects/{project_id}/rounds/{round_id}", response=RoundSchema)
def get_round(request: ApiRequest, project_id: RowId, round_id: RowId) -> Round:
    """One round."""
    return round_in(reach(request, project_id, Action.SEE_ROUNDS), round_id)
