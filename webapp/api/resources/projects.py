"""Projects."""

from ninja import Query, Router

from webapp.api.bearer import ApiRequest, reach, reach_all
from webapp.api.paging import Listed, Part, RowId, Turn, part_of
from webapp.api.schemas import ProjectSchema
from webapp.projects.access import Action, know_seats
from webapp.projects.models import Project

router = Router(tags=["projects"])


@router.get("/projects", response=Listed[ProjectSchema])
def list_projects(request: ApiRequest, turn: Query[Turn]) -> Part[Project]:
    """The projects of the token's person."""
    reach_all(request)
    part = part_of(Project.objects.visible_to(request.user), turn)
    know_seats(request.user, part.items)
    return part


@router.get("/projects/{project_id}", response=ProjectSchema)
def get_project(request: ApiRequest, project_id: RowId) -> Project:
    """One project."""
    return reach(request, project_id, Action.SEE_PROJECT)
