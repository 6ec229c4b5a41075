"""Tasks, and the labels that answer them."""

from ninja import Query, Router

from webapp.api.bearer import ApiRequest, reach
from webapp.api.paging import Listed, Part, RowId, Turn, part_of
from webapp.api.schemas import LabelSchema, TaskSchema
from webapp.labeling.models import Label, Task
from webapp.projects.access import Action

router = Router(tags=["labels"])


@router.get("/projects/{project_id}/tasks", response=Listed[TaskSchema])
def list_tasks(
    request: ApiRequest, project_id: RowId, turn: Query[Turn], state: str = "", kind: str = ""
) -> Part[Task]:
    """Tasks, the oldest first; `state` is open, leased, done or skipped."""
    project = reach(request, project_id, Action.SEE_DATA)
    rows = project.tasks.of_state(state).of_kind(kind)
    return part_of(rows.prefetch_related("items"), turn)


@router.get("/projects/{project_id}/labels", response=Listed[LabelSchema])
def list_labels(
    request: ApiRequest, project_id: RowId, turn: Query[Turn], show: str = "", kind: str = ""
) -> Part[Label]:
    """Labels that speak now, the oldest first; or with `show` extra, disagreement or history."""
    project = reach(request, project_id, Action.SEE_DATA)
    rows = Label.objects.filter(project=project).standing(show).of_kind(kind)
    return part_of(rows.select_related("task", "annotator"), turn)
