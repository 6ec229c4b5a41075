"""Snapshots; files that come in and go out are jobs."""

from django.shortcuts import get_object_or_404
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, reach
from webapp.api.paging import Listed, Part, RowId, Turn, part_of
from webapp.api.schemas import SnapshotSchema
from webapp.datasets.models import Snapshot
from webapp.projects.access import Action

router = Router(tags=["datasets"])


@router.get("/projects/{project_id}/snapshots", response=Listed[SnapshotSchema])
def list_snapshots(request: ApiRequest, project_id: RowId, turn: Query[Turn]) -> Part[Snapshot]:
    """Snapshots, the newest first."""
    project = reach(request, project_id, Action.SEE_DATA)
    return part_of(project.snapshots.select_related("artifact"), turn, newest=True)


@router.get("/projects/{project_id}/snapshots/{snapshot_id}", response=SnapshotSchema)
def get_snapshot(request: ApiRequest, project_id: RowId, snapshot_id: RowId) -> Snapshot:
    """One snapshot."""
    project = reach(request, project_id, Action.SEE_DATA)
    return get_object_or_404(project.snapshots.select_related("artifact"), pk=snapshot_id)
