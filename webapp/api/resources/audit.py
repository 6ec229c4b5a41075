"""The audit log."""

from ninja import Query, Router

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import AuditSchema
from webapp.api.sent import AuditAsked
from webapp.audit.forms import entries_of
from webapp.audit.models import AuditEntry
from webapp.projects.access import Action

router = Router(tags=["audit"])


@router.get("/projects/{project_id}/audit", response=PageSchema[AuditSchema])
def list_audit(
    request: ApiRequest, project_id: RowId, paging: Query[Paging], asked: Query[AuditAsked]
) -> ListPart[AuditEntry]:
    """Who changed what, the newest first."""
    project = open_project(request, project_id, Action.SEE_AUDIT)
    told = asked.dict(exclude={"since", "until"})
    rows = entries_of(project.pk).asked(days=(asked.since, asked.until), **told)
    return list_part(rows.select_related("person"), paging, newest=True)
