"""Files that come in and go out: looked at, taken in, exported, all as jobs."""

import json
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadedfile import UploadedFile as DjangoFile
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import File, Form, Router
from ninja.files import UploadedFile

from alignment.rows.formats import GUESS
from webapp.api.bearer import ApiRequest, open_project
from webapp.api.errors import FieldsError
from webapp.api.filled import errors_of, filled
from webapp.api.once import name_of
from webapp.api.paging import RowId
from webapp.api.schemas import JobSchema
from webapp.api.sent import ExportSent, OptionsSent, RowsSent
from webapp.datasets.forms import ExportForm, ImportForm, TakeForm
from webapp.datasets.imports.orders import start_import
from webapp.datasets.intake import Become
from webapp.datasets.uploads import is_too_large
from webapp.jobs.models import Job, State
from webapp.jobs.services import start_job
from webapp.labeling.bands import Band
from webapp.machine import uploads
from webapp.projects.access import Action
from webapp.projects.models import Project

router = Router(tags=["files"])


@router.post("/projects/{project_id}/imports", response={201: JobSchema})
def upload_file(
    request: ApiRequest,
    project_id: RowId,
    format: Form[str] = GUESS,
    file: File[UploadedFile | None] = None,
) -> Job:
    """Send a file and have it looked at; nothing is taken in before somebody says so."""
    project = open_project(request, project_id, Action.IMPORT_DATA)
    files = {"file": file} if file else {}
    form = ImportForm({"format": format}, files, too_large=is_too_large(request))
    if not form.is_valid():
        raise FieldsError(errors_of(form))
    sent: Any = form.cleaned_data["file"]
    payload = {"name": sent.name, "format": form.cleaned_data["format"]}
    return _start(request, project, "preview", sent, payload)


@router.post("/projects/{project_id}/imports/{job_id}/take", response={201: JobSchema})
def take_file(request: ApiRequest, project_id: RowId, job_id: RowId, sent: OptionsSent) -> Job:
    """Take in a file that was looked at; a second time finds the same import."""
    project = open_project(request, project_id, Action.IMPORT_DATA)
    seen = project.jobs.filter(kind="preview", state=State.DONE)
    preview = get_object_or_404(seen, pk=job_id)
    if not preview.result.get("rows", 1):
        raise FieldsError({"file": _("No row of this file can be read: send another one.")})
    form = filled(TakeForm, sent.options, found=preview.result)
    return start_import(preview, form.cleaned_data, by=request.user)


@router.post("/projects/{project_id}/rows", response={201: JobSchema})
def add_rows(request: ApiRequest, project_id: RowId, sent: RowsSent) -> Job:
    """Take rows in as an import would, all or none of them, and let them become tasks, say."""
    project = open_project(request, project_id, Action.IMPORT_DATA)
    if sent.become not in Become.values:
        words = _("Rows become {names}.").format(names=", ".join(Become.values))
        raise FieldsError({"become": words})
    if sent.options.get("band", Band.NORMAL) not in Band.values:
        words = _("Tasks come into one of the bands {names}.")
        raise FieldsError({"band": words.format(names=", ".join(Band.values))})
    payload = sent.options | {"name": "rows.jsonl", "format": GUESS, "become": sent.become}
    lines = "".join(f"{json.dumps(row)}\n" for row in sent.rows)
    file = SimpleUploadedFile("rows.jsonl", lines.encode())
    return _start(request, project, "import", file, payload)


@router.post("/projects/{project_id}/exports", response={201: JobSchema})
def start_export(request: ApiRequest, project_id: RowId, sent: ExportSent) -> Job:
    """Write a snapshot as a file for others to read; the job offers it once it is done."""
    project = open_project(request, project_id, Action.EXPORT_DATA)
    key = name_of(request)
    given = sent.options | {"key": key, "snapshot": sent.snapshot, "format": sent.format}
    form = filled(ExportForm, given, project=project)
    return start_job(project, kind="export", payload=form.payload(), key=str(key), by=request.user)


def _start(
    request: ApiRequest,
    project: Project,
    kind: str,
    file: "DjangoFile[bytes]",
    payload: dict[str, Any],
) -> Job:
    """A job that reads a file, which is kept until then; the same request finds the same job."""
    upload = uploads.keep_file(file)
    key = str(name_of(request))
    told = payload | {"upload": upload}
    job = start_job(project, kind=kind, payload=told, key=key, by=request.user)
    if job.payload["upload"] != upload:
        uploads.forget(upload)
    return job
