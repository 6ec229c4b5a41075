"""The page of a job, which follows it to its end, and the file it made."""

import mimetypes

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.jobs.errors import JobError
from webapp.jobs.kinds import JOB_KINDS
from webapp.jobs.models import Job, State
from webapp.jobs.services import cancel_job, stamp_of_job
from webapp.projects.access import project_for
from webapp.rendering.services import rendered
from webapp.site.htmx import render_page


def job_for(request: PersonRequest, project_id: int, job_id: int) -> Job:
    """The job, if the person may see it; otherwise it is not found."""
    jobs = Job.objects.filter(project=project_id).select_related("created_by")
    job = get_object_or_404(jobs, pk=job_id)
    job.project = project_for(request.user, project_id, can=JOB_KINDS[job.kind].can)
    return job


def previewed(job: Job) -> list[str]:
    """The texts of the rows that an import shows before it takes them in."""
    rows = (job.result or {}).get("first", [])
    return [text for row in rows for text in (row.get("prompt"), row.get("shown")) if text]


@login_required
@require_safe
def detail(request: PersonRequest, project_id: int, job_id: int) -> HttpResponse:
    """One job: how far it is, then what came of it."""
    stamp = stamp_of_job(project_id, job_id)
    job = job_for(request, project_id, job_id)
    kind = JOB_KINDS[job.kind]
    context = {
        "stamp": stamp,
        "project": job.project,
        "job": job,
        "kind": kind,
        "outcome": f"jobs/{kind.template}.html",
        "form": kind.form(job) if job.state == State.DONE else None,
        "renderings": rendered(previewed(job)),
    }
    response = render_page(request, "jobs/detail.html", context, partial="job")
    if request.htmx and job.is_final:
        response["HX-Refresh"] = "true"  # what came of it is there: the whole page is another one
    return response


@login_required
@require_POST
def cancel(request: PersonRequest, project_id: int, job_id: int) -> HttpResponse:
    """Cancel what is not over yet."""
    job = job_for(request, project_id, job_id)
    try:
        cancel_job(job, by=request.user)
    except JobError as refusal:
        messages.error(request, str(refusal))
    return redirect("jobs:detail", project_id, job.pk)


@login_required
@require_safe
def download(request: PersonRequest, project_id: int, job_id: int) -> FileResponse:
    """The file a finished job made."""
    job = job_for(request, project_id, job_id)
    if (path := job.file) is None:
        raise Http404
    kind = mimetypes.guess_type(path.name)[0]
    return FileResponse(path.open("rb"), as_attachment=True, filename=path.name, content_type=kind)
