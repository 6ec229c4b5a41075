"""Prompts of a project."""

from ninja import Query, Router

from webapp.api.bearer import ApiRequest, reach
from webapp.api.paging import Listed, Part, RowId, Turn, part_of
from webapp.api.schemas import PromptSchema
from webapp.projects.access import Action
from webapp.projects.models import Prompt

router = Router(tags=["prompts"])


@router.get("/projects/{project_id}/prompts", response=Listed[PromptSchema])
def list_prompts(
    request: ApiRequest, project_id: RowId, turn: Query[Turn], split: str = ""
) -> Part[Prompt]:
    """Prompts, the oldest first; of one split where it is named."""
    project = reach(request, project_id, Action.WRITE_PROMPTS)
    rows = project.prompts.filter(split=split) if split else project.prompts.all()
    return part_of(rows, turn)
