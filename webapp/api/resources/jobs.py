"""Jobs: imports, exports and other short work, and the files that they make."""

import mimetypes

from django.http import FileResponse, Http404
from django.shortcuts import get_object_or_404
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import JobSchema
from webapp.jobs.kinds import JOB_KINDS, UNTOLD
from webapp.jobs.models import Job
from webapp.jobs.services import cancel_job
from webapp.projects.access import Action, may, role_in

router = Router(tags=["jobs"])


def job_for(request: ApiRequest, project_id: int, job_id: int) -> Job:
    """The job, if token and person may see it, or change it where something is sent."""
    project = (
        open_project(request, project_id, Action.SEE_PROJECT) if request.method == "GET" else None
    )
    job = get_object_or_404(Job, project=project_id, pk=job_id)
    job.project = (
        open_project(request, project_id, JOB_KINDS[job.kind].can) if project is None else project
    )
    if not may(role_in(request.user, job.project), JOB_KINDS[job.kind].can):
        raise Http404
    return job


@router.get("/projects/{project_id}/jobs", response=PageSchema[JobSchema])
def list_jobs(
    request: ApiRequest, project_id: RowId, paging: Query[Paging], kind: str = ""
) -> ListPart[Job]:
    """Jobs that the token's person may see, the newest first; of one kind where it is named."""
    project = open_project(request, project_id, Action.SEE_DATA)
    role = role_in(request.user, project)
    asked = [kind] if kind else [name for name in JOB_KINDS if name not in UNTOLD]
    seen = [name for name in asked if name in JOB_KINDS and may(role, JOB_KINDS[name].can)]
    return list_part(project.jobs.filter(kind__in=seen), paging, newest=True)


@router.get("/projects/{project_id}/jobs/{job_id}", response=JobSchema)
def get_job(request: ApiRequest, project_id: RowId, job_id: RowId) -> Job:
    """One job: how far it is, or what came of it."""
    return job_for(request, project_id, job_id)


@router.get(
    "/projects/{project_id}/jobs/{job_id}/file",
    openapi_extra={
        "responses": {
            200: {
                "description": "the file",
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


@router.post(
    "/projects/{project_id}/jobs/{job_id}/cancel", response=JobSchema, operation_id="cancel_job"
)
def stop_job(request: ApiRequest, project_id: RowId, job_id: RowId) -> Job:
    """Cancel a job that is not over."""
    cancel_job(job_for(request, project_id, job_id), by=request.user)
    return job_for(request, project_id, job_id)
