"""Jobs: imports, exports and other short work, and the files that they make."""

import mimetypes

from django.http import FileResponse, Http404
from django.shortcuts import get_object_or_404
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, reach
from webapp.api.paging import Listed, Part, RowId, Turn, part_of
from webapp.api.schemas import JobSchema
from webapp.jobs.kinds import JOB_KINDS
from webapp.jobs.models import Job
from webapp.projects.access import Action, may, role_in

router = Router(tags=["jobs"])


def job_for(request: ApiRequest, project_id: int, job_id: int) -> Job:
    """The job, if token and person may see it, or change it where something is sent."""
    project = reach(request, project_id, Action.SEE_PROJECT) if request.method == "GET" else None
    job = get_object_or_404(Job, project=project_id, pk=job_id)
    job.project = (
        reach(request, project_id, JOB_KINDS[job.kind].can) if project is None else project
    )
    if not may(role_in(request.user, job.project), JOB_KINDS[job.kind].can):
        raise Http404
    return job


@router.get("/projects/{project_id}/jobs", response=Listed[JobSchema])
def list_jobs(
    request: ApiRequest, project_id: RowId, turn: Query[Turn], kind: str = ""
) -> Part[Job]:
    """Jobs that the token's person may see, the newest first; of one kind where it is named."""
    project = reach(request, project_id, Action.SEE_DATA)
    role = role_in(request.user, project)
    seen = [name for name, one in JOB_KINDS.items() if may(role, one.can) and kind in ("", name)]
    return part_of(project.jobs.filter(kind__in=seen), turn, newest=True)


@router.get("/projects/{project_id}/jobs/{job_id}", response=JobSchema)
def get_job(request: ApiRequest, project_id: RowId, job_id: RowId) -> Job:
    """One job: how far it is, or what came of it."""
    return job_for(request, project_id, job_id)


@router.get(
    "/projects/{project_id}/jobs/{job_id}/file",
    openapi_extra={
        "responses": {
            200: {
                "description": "The file.",
                "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
            }
        }
    },
)
def download_file(request: ApiRequest, project_id: RowId, job_id: RowId) -> FileResponse:
    """The file that a finished job made."""
    job = job_for(request, project_id, job_id)
    if (path := job.file) is None:
        raise Http404
    kind = mimetypes.guess_type(path.name)[0]
    return FileResponse(path.open("rb"), as_attachment=True, filename=path.name, content_type=kind)
