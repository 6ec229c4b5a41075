"""Prompts of a project."""

from django.db import transaction
from ninja import Query, Router

from alignment.rows.found import BadRow, Found, Turns
from alignment.rows.texts import asked, conversation_of
from webapp.api.bearer import ApiRequest, open_project
from webapp.api.errors import FieldsError
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import AddedSchema, PromptSchema
from webapp.api.sent import PromptSent, PromptsSent
from webapp.projects.access import Action
from webapp.projects.models import Prompt
from webapp.projects.services import write_prompt

router = Router(tags=["prompts"])


@router.get("/projects/{project_id}/prompts", response=PageSchema[PromptSchema])
def list_prompts(
    request: ApiRequest, project_id: RowId, paging: Query[Paging], split: str = ""
) -> ListPart[Prompt]:
    """Prompts, the oldest first; of one split where it is named."""
    project = open_project(request, project_id, Action.WRITE_PROMPTS)
    rows = project.prompts.filter(split=split) if split else project.prompts.all()
    return list_part(rows, paging)


@router.post(
    "/projects/{project_id}/prompts", response={201: AddedSchema}, operation_id="add_prompts"
)
def send_prompts(request: ApiRequest, project_id: RowId, sent: PromptsSent) -> dict[str, int]:
    """Add prompts, all or none; those that are there already stay as they are."""
    project = open_project(request, project_id, Action.WRITE_PROMPTS)
    talks = [_turns(number, prompt) for number, prompt in enumerate(sent.prompts)]
    with transaction.atomic():
        added = [write_prompt(project, turns, by=request.user)[1] for turns in talks]
    return {"sent": len(talks), "added": sum(added)}


def _turns(number: int, prompt: PromptSent) -> Turns:
    """The conversation, as an import would read it."""
    try:
        return asked(
            conversation_of([turn.dict() for turn in prompt.messages], "messages", Found())
        )
    except BadRow as wrong:
        raise FieldsError({f"prompts.{number}.messages": str(wrong)}) from None
