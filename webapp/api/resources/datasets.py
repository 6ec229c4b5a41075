"""Snapshots of labels."""

from django.shortcuts import get_object_or_404
from ninja import Query, Router, Status

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.filled import filled
from webapp.api.once import name_of
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import ChangesSchema, JobSchema, SnapshotSchema
from webapp.api.sent import OptionsSent, SinceAsked
from webapp.datasets.changes import SnapshotChanges, changes_between
from webapp.datasets.forms import EarlierForm, FreezeForm
from webapp.datasets.freezing import is_long, start_freezing
from webapp.datasets.models import Snapshot
from webapp.datasets.services import freeze_snapshot
from webapp.jobs.models import Job
from webapp.projects.access import Action

router = Router(tags=["datasets"])


@router.get("/projects/{project_id}/snapshots", response=PageSchema[SnapshotSchema])
def list_snapshots(
    request: ApiRequest, project_id: RowId, paging: Query[Paging]
) -> ListPart[Snapshot]:
    """Snapshots, the newest first."""
    project = open_project(request, project_id, Action.SEE_DATA)
    return list_part(project.snapshots.select_related("artifact"), paging, newest=True)


@router.get("/projects/{project_id}/snapshots/{snapshot_id}", response=SnapshotSchema)
def get_snapshot(request: ApiRequest, project_id: RowId, snapshot_id: RowId) -> Snapshot:
    """One snapshot."""
    project = open_project(request, project_id, Action.SEE_DATA)
    return get_object_or_404(project.snapshots.select_related("artifact"), pk=snapshot_id)


@router.get(
    "/projects/{project_id}/snapshots/{snapshot_id}/changes",
    response=ChangesSchema,
    operation_id="get_changes",
)
def get_changes(
    request: ApiRequest, project_id: RowId, snapshot_id: RowId, since: Query[SinceAsked]
) -> SnapshotChanges:
    """What came and went since an earlier snapshot: the last before, or of a number; all, where there is none."""
    project = open_project(request, project_id, Action.SEE_DATA)
    snapshot = get_object_or_404(project.snapshots.select_related("artifact"), pk=snapshot_id)
    if since.since is None:
        last = project.snapshots.select_related("artifact").filter(number__lt=snapshot.number)
        return changes_between(last.first(), snapshot)
    form = filled(EarlierForm, since.dict(), snapshot=snapshot)
    return changes_between(form.cleaned_data["since"], snapshot)


@router.post(
    "/projects/{project_id}/snapshots",
    response={201: SnapshotSchema, 202: JobSchema},
    operation_id="freeze_snapshot",
)
def freeze_labels(
    request: ApiRequest, project_id: RowId, sent: OptionsSent
) -> Status[Snapshot | Job]:
    """Freeze the labels as they are; where nothing has changed, the last snapshot is answered.

    More than a thousand of them take a job, which is answered instead; its result names the snapshot.
    """
    project = open_project(request, project_id, Action.FREEZE)
    form = filled(FreezeForm, sent.options, project=project)
    if is_long(project, form.wanted):
        key = str(name_of(request))
        return Status(202, start_freezing(project, form.wanted, key=key, by=request.user))
    return Status(201, freeze_snapshot(project, form.wanted, by=request.user))
