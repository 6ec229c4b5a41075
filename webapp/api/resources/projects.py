"""Projects."""

from ninja import Query, Router

from webapp.api.bearer import ApiRequest, open_all, open_project
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import ProjectSchema
from webapp.projects.access import Action, know_seats
from webapp.projects.models import Project

router = Router(tags=["projects"])


@router.get("/projects", response=PageSchema[ProjectSchema])
def list_projects(request: ApiRequest, paging: Query[Paging]) -> ListPart[Project]:
    """The projects of the token's person."""
    open_all(request)
    part = list_part(Project.objects.current().visible_to(request.user), paging)
    know_seats(request.user, part.items)
    return part


@router.get("/projects/{project_id}", response=ProjectSchema)
def get_project(request: ApiRequest, project_id: RowId) -> Project:
    """One project."""
    return open_project(request, project_id, Action.SEE_PROJECT)
