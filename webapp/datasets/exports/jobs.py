"""The job that writes an export."""

import shutil
from functools import partial

from django.utils.translation import gettext as _

from alignment.seam.folders import file_sha256, manifest_sha256
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports import format_of
from webapp.datasets.exports.folders import write_folder, zipped
from webapp.datasets.models import Snapshot
from webapp.jobs.models import Job
from webapp.jobs.work import Work


def export(job: Job) -> Work:
    """Write a snapshot in a format, split by prompt, and zip the folder."""
    snapshot = job.project.snapshots.select_related("artifact").get(pk=job.payload["snapshot"])
    refuse_erased(snapshot)
    form = format_of(job.payload)
    folder = job.folder / job.payload["name"]
    rows = yield from write_folder(folder, snapshot, form)
    archive = zipped(folder)
    result = {
        "file": archive.name,
        "sha256": file_sha256(archive),
        "bytes": archive.stat().st_size,
        "manifest_sha256": manifest_sha256(folder),
        "rows": rows,
        "folder": folder.name,
        "config": form.config,
    }
    shutil.rmtree(folder)
    refuse_erased(snapshot)  # that may have come to be meanwhile
    return partial(dict, result)


def refuse_erased(snapshot: Snapshot) -> None:
    """Raise ExportRefusal where a snapshot holds data of somebody who was erased."""
    if snapshot.erasures.exists():
        raise ExportRefusal(
            _(
                "{snapshot} holds data of an erased person. Freeze a new one and export that."
            ).format(snapshot=snapshot)
        )
