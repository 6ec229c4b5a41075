"""What each kind of job does: one row per kind, whose work is named by its path."""

from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.forms import Form
from django.utils.module_loading import import_string
from django.utils.translation import gettext_noop as _

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
    does: str  # path of a function of the job
    asks: str = ""  # path of what makes the form that its result asks for
    queue: str = settings.JOB_QUEUE  # whose workers do it

    @property
    def work(self) -> Callable[[Job], Work]:
        """What does it."""
        found: Callable[[Job], Work] = import_string(self.does)
        return found

    def form(self, job: Job) -> Form | None:
        """What its result asks for."""
        return import_string(self.asks)(job) if self.asks else None


UNTOLD = {
    "webhook",
    "answer",
    "languages",
}  # kinds that the audit log does not tell of: they tell of it, or are a turn of a label, or look at it
IMPORT, EXPORT = Action.IMPORT_DATA, Action.EXPORT_DATA
IMPORTS = "webapp.datasets.imports.jobs"
JOB_KINDS = {
    "quality": JobKind(
        _("Measure the labels"),
        _("measures"),
        Action.SEE_DATA,
        "quality:report",
        "measured",
        "webapp.quality.jobs.measure_labels",
    ),
    "freeze": JobKind(
        _("Freeze the labels"),
        _("snapshots"),
        Action.FREEZE,
        "datasets:snapshots",
        "frozen",
        "webapp.datasets.freezing.freeze",
    ),
    "allocate": JobKind(
        _("Choose tasks that teach most"),
        _("tasks"),
        Action.MAKE_TASKS,
        "quality:allocation",
        "allocated",
        "webapp.quality.allocation.allocate",
    ),
    "erase": JobKind(
        _("Erase a person's data"),
        _("erasures"),
        Action.MANAGE_MEMBERS,
        "erasure:erasures",
        "erased",
        "webapp.erasure.work.erase_person",
    ),
    "preview": JobKind(
        _("Look before you import"),
        _("files"),
        IMPORT,
        "datasets:import",
        "preview",
        f"{IMPORTS}.preview",
        "webapp.datasets.forms.take_form",
    ),
    "import": JobKind(
        _("Import"), _("files"), IMPORT, "datasets:import", "imported", f"{IMPORTS}.import_file"
    ),
    "export": JobKind(
        _("Export"),
        _("exports"),
        EXPORT,
        "datasets:export",
        "exported",
        "webapp.datasets.exports.jobs.export",
    ),
    "corpus": JobKind(
        _("Add a corpus"),
        _("corpora"),
        IMPORT,
        "datasets:corpora",
        "corpus",
        "webapp.datasets.corpora.jobs.keep_corpus",
    ),
    "texts": JobKind(
        _("Add texts with classes"),
        _("texts"),
        IMPORT,
        "datasets:texts",
        "texts",
        "webapp.datasets.texts.jobs.keep_texts",
    ),
    "answer": JobKind(
        _("Answer in a conversation"),
        _("answers"),
        Action.SEE_DATA,
        "labeling:tasks",
        "answered",
        "webapp.runs.live.answer_live",
        queue=settings.LIVE_QUEUE,
    ),
    "bands": JobKind(
        _("Put tasks into another band"),
        _("tasks"),
        Action.CHECK_LABELS,
        "labeling:tasks",
        "changed",
        "webapp.labeling.banding.put_all_in_band",
    ),
    "languages": JobKind(
        _("Tell the languages of tasks"),
        _("tasks"),
        Action.SEE_DATA,
        "labeling:tasks",
        "changed",
        "webapp.labeling.languages.tell_all",
    ),
    "webhook": JobKind(
        _("Send to a webhook"),
        _("webhooks"),
        Action.MANAGE_WEBHOOKS,
        "webhooks:list",
        "sent",
        "webapp.webhooks.deliveries.deliver",
    ),
}
