"""Runs: what they were told, how far they are, what they measured."""

from django.shortcuts import get_object_or_404
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, reach
from webapp.api.paging import LARGEST, Listed, Part, RowId, Turn, part_of
from webapp.api.schemas import EventSchema, MetricSchema, RunDetailSchema, RunSchema
from webapp.projects.access import Action
from webapp.runs.models import Run, RunEvent, RunMetric
from webapp.runs.points import reached, shown_metrics

router = Router(tags=["runs"])


def run_in(request: ApiRequest, project_id: int, run_id: int, can: Action = Action.SEE_RUNS) -> Run:
    """The run, if token and person may do this to it."""
    return get_object_or_404(reach(request, project_id, can).runs, pk=run_id)


@router.get("/projects/{project_id}/runs", response=Listed[RunSchema])
def list_runs(
    request: ApiRequest, project_id: RowId, turn: Query[Turn], kind: str = "", state: str = ""
) -> Part[Run]:
    """Runs, the newest first; of one kind or in one state where that is named."""
    project = reach(request, project_id, Action.SEE_RUNS)
    asked = {name: word for name, word in (("kind", kind), ("state", state)) if word}
    return part_of(project.runs.filter(**asked), turn, newest=True)


@router.get("/projects/{project_id}/runs/{run_id}", response=RunDetailSchema)
def get_run(request: ApiRequest, project_id: RowId, run_id: RowId) -> Run:
    """One run."""
    return run_in(request, project_id, run_id)


@router.get("/projects/{project_id}/runs/{run_id}/events", response=Listed[EventSchema])
def list_events(
    request: ApiRequest, project_id: RowId, run_id: RowId, turn: Query[Turn], since: int = 0
) -> Part[RunEvent]:
    """Changes of state, the oldest first; `since` is the id of the last one that is known."""
    run = run_in(request, project_id, run_id)
    return part_of(run.events.filter(pk__gt=max(0, min(since, LARGEST))), turn)


@router.get("/projects/{project_id}/runs/{run_id}/metrics", response=Listed[MetricSchema])
def list_metrics(
    request: ApiRequest, project_id: RowId, run_id: RowId, turn: Query[Turn], key: str = ""
) -> Part[RunMetric]:
    """Numbers of the run's steps as they were told; of one curve where its key is named."""
    run = run_in(request, project_id, run_id)
    rows = shown_metrics(run, 0, reached(run))
    return part_of(rows.filter(key=key) if key else rows, turn)
