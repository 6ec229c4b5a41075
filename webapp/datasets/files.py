"""Files that are kept as they came, once they were read to their end: what their forms and jobs share."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from alignment.seam.errors import DataError
from alignment.seam.folders import committed
from alignment.seam.modelfiles import safe_name
from webapp.artifacts.store import store
from webapp.jobs.models import Job
from webapp.machine import uploads
from webapp.site.words import Words

SHOWN = 300  # characters of a text


class FileForm(forms.Form):
    """A file of a bearable size, under a name that can be stored."""

    takes: Words = ""  # which files, as its help says

    file = forms.FileField(
        label=_("File"),
        max_length=200,
        error_messages={"required": _("Choose a file first."), "empty": _("The file is empty.")},
    )

    def __init__(self, *args: Any, too_large: bool = False, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        field = self.fields["file"]
        most = str(_("At most {n} MB.")).format(n=f"{settings.IMPORT_LIMIT / 1e6:,.0f}")
        field.help_text = f"{self.takes} {most}"
        if too_large:
            field.error_messages["required"] = larger()

    def clean_file(self) -> "UploadedFile[bytes]":
        """Refuse a file that is too large, and a name that cannot be stored."""
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        if (file.size or 0) > settings.IMPORT_LIMIT:
            raise forms.ValidationError(larger())
        try:
            safe_name(file.name or "")
        except DataError as error:
            raise forms.ValidationError(str(error)) from error
        return file


def larger() -> str:
    """What to do about a file that is too large."""
    return str(_("The file is larger than {n} MB. Pack it with gzip or split it.")).format(
        n=f"{settings.IMPORT_LIMIT / 1e6:,.0f}"
    )


def copied(job: Job, folder: Path) -> Path:
    """The uploaded file of a job, in a committed folder of its own."""
    name = safe_name(job.payload["name"])
    with committed(folder) as aside:
        shutil.copyfile(uploads.place_of(job.payload["upload"]), aside / name)
    return folder / name


def keep(job: Job, folder: Path, type: str, summary: Mapping[str, Any]) -> int:
    """Store the folder as an artifact of this type, and give its key; the upload is not needed any more."""
    artifact = store(
        folder, project=job.project, type=type, name=job.payload["name"], summary=summary
    )
    transaction.on_commit(partial(uploads.forget, job.payload["upload"]))
    transaction.on_commit(partial(shutil.rmtree, folder, ignore_errors=True))
    return artifact.pk


def plain(text: str) -> str:
    """The beginning of a text, in words that every database can hold."""
    short = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return short.replace("\0", "\ufffd").encode(errors="replace").decode()
