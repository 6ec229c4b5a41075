"""What each kind of job does: one row per kind."""

from collections.abc import Callable
from typing import NamedTuple

from django.forms import Form

from webapp.datasets import exports
from webapp.datasets.forms import take_form
from webapp.datasets.imports import jobs as imports
from webapp.jobs.models import Job
from webapp.jobs.work import Work
from webapp.projects.access import Action


class JobKind(NamedTuple):
    """Its name as a title, the page it is asked for on, what shows its result, and its work."""

    title: str
    noun: str
    can: Action  # what somebody must be allowed to do to ask for it and to see it
    page: str  # URL name
    template: str
    work: Callable[[Job], Work]
    form: Callable[[Job], Form | None] = lambda job: None  # what its result asks for


IMPORT, EXPORT = Action.IMPORT_DATA, Action.EXPORT_DATA
JOB_KINDS = {
    "preview": JobKind(
        "Look before you import",
        "files",
        IMPORT,
        "datasets:import",
        "preview",
        imports.preview,
        take_form,
    ),
    "import": JobKind(
        "Import", "files", IMPORT, "datasets:import", "imported", imports.import_file
    ),
    "export": JobKind("Export", "exports", EXPORT, "datasets:export", "exported", exports.export),
}
