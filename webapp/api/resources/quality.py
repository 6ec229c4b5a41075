"""What the labels of a project are worth: figures, disagreements and who settles them, checks of known answer."""

from collections.abc import Iterable

from django.db import transaction
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.errors import FieldsError
from webapp.api.filled import errors_of, filled, sent_as
from webapp.api.once import name_of
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import (
    AllocationSchema,
    CheckSchema,
    ChecksSchema,
    DecisionSchema,
    DisagreementSchema,
    JobSchema,
    QualitySchema,
)
from webapp.api.sent import BackSent, CheckSent, DecisionSent, OptionsSent
from webapp.jobs.models import Job
from webapp.labeling import dispatch
from webapp.labeling.models import Gold, Label, Task
from webapp.projects.access import Action
from webapp.projects.models import Project
from webapp.quality import queries
from webapp.quality.adjudication import adjudicate, end_check, take_decision_back, use_as_check
from webapp.quality.allocation import newest_scores, start_allocation
from webapp.quality.disagreements import disputes
from webapp.quality.forms import AllocationForm, ChecksForm, DecisionForm
from webapp.quality.known import golds_answered, golds_of
from webapp.quality.models import Adjudication, Allocation
from webapp.quality.services import set_checks, start_measuring
from webapp.site.errors import Refusal

router = Router(tags=["quality"])


def task_in(request: ApiRequest, project_id: int, task_id: int) -> Task:
    """The task, if token and person may check its labels."""
    project = open_project(request, project_id, Action.CHECK_LABELS)
    found = Task.objects.select_related("prompt", "project").filter(project=project)
    return get_object_or_404(found, pk=task_id)


@router.get("/projects/{project_id}/quality", response=QualitySchema)
def get_quality(request: ApiRequest, project_id: RowId) -> dict[str, object]:
    """What was measured last, and how many labels have come since; null where nothing was."""
    project = open_project(request, project_id, Action.CHECK_LABELS)
    if (found := queries.report_of(project)) is None:
        return {"made_at": None, "figures": None, "since": 0}
    since = queries.labels_since(found)
    return {"made_at": found.made_at, "figures": found.figures, "since": since}


@router.post(
    "/projects/{project_id}/quality", response={201: JobSchema}, operation_id="measure_quality"
)
def measure_again(request: ApiRequest, project_id: RowId) -> Job:
    """Measure the labels; where that is being done, the job that does it is answered."""
    project = open_project(request, project_id, Action.CHECK_LABELS)
    return start_measuring(project, by=request.user)


@router.get("/projects/{project_id}/disagreements", response=PageSchema[DisagreementSchema])
def list_disagreements(
    request: ApiRequest,
    project_id: RowId,
    paging: Query[Paging],
    kind: str = "",
    everybody: bool = False,  # noqa: FBT001, FBT002 - a part of the query
) -> ListPart[Label]:
    """Tasks about which people say different things and nobody has decided, the newest first."""
    project = open_project(request, project_id, Action.CHECK_LABELS)
    rows = disputes(project, everybody=everybody, kind=kind).select_related("task")
    part = list_part(rows, paging, newest=True)
    tasks = [label.task_id for label in part.items]
    said = Label.objects.current().filter(task__in=tasks).select_related("annotator")
    _share_out(part.items, said.order_by("pk"))
    return part


def _share_out(firsts: Iterable[Label], said: Iterable[Label]) -> None:
    """Let the first label of each task know what was said of it (`sayings`)."""
    by_task: dict[int, list[Label]] = {}
    for label in said:
        by_task.setdefault(label.task_id, []).append(label)
    for first in firsts:
        vars(first)["sayings"] = by_task.get(first.task_id, [])


@router.get("/projects/{project_id}/tasks/{task_id}/decisions", response=PageSchema[DecisionSchema])
def list_decisions(
    request: ApiRequest, project_id: RowId, task_id: RowId, paging: Query[Paging]
) -> ListPart[Adjudication]:
    """What was decided about a task, the newest first; one at most still stands."""
    task = task_in(request, project_id, task_id)
    return list_part(task.adjudications.select_related("by"), paging, newest=True)


@router.post(
    "/projects/{project_id}/tasks/{task_id}/decisions",
    response={201: DecisionSchema},
    operation_id="decide_task",
)
def decide(
    request: ApiRequest, project_id: RowId, task_id: RowId, sent: DecisionSent
) -> Adjudication:
    """Say what is right about a task, as a label does or in an answer of its kind; it speaks for the task."""
    task = task_in(request, project_id, task_id)
    key = name_of(request)
    named = {"key": key, "label": sent.label, "rationale": sent.rationale}
    form = DecisionForm(sent_as(sent.answer | named), task=task, initial={})
    if not form.is_valid():
        raise FieldsError(errors_of(form))
    return adjudicate(task, form.cleaned_data["decision"], by=request.user, key=key)


@router.post(
    "/projects/{project_id}/tasks/{task_id}/undecide",
    response={204: None},
    operation_id="undecide_task",
)
def decide_no_more(request: ApiRequest, project_id: RowId, task_id: RowId) -> None:
    """Take the decision about a task back: its labels speak again. A check that stood on it ends."""
    take_decision_back(task_in(request, project_id, task_id), by=request.user)


@router.post(
    "/projects/{project_id}/tasks/{task_id}/back",
    response={204: None},
    operation_id="send_label_back",
)
def ask_back(request: ApiRequest, project_id: RowId, task_id: RowId, sent: BackSent) -> None:
    """Give a label back to who gave it, with a word: its place waits for them."""
    task = task_in(request, project_id, task_id)
    label = get_object_or_404(Label.objects.current().filter(task=task), pk=sent.label)
    dispatch.send_back(label, sent.note, by=request.user)


@router.get("/projects/{project_id}/gold", response=PageSchema[CheckSchema])
def list_gold(request: ApiRequest, project_id: RowId, paging: Query[Paging]) -> ListPart[Gold]:
    """Tasks whose answer is known, and how many were right about them since, the newest first."""
    project = open_project(request, project_id, Action.CHECK_LABELS)
    part = list_part(golds_of(project), paging, newest=True)
    for one in golds_answered(part.items):
        told = {"expected": str(one.expected), "answered": one.answered, "right": one.right}
        vars(one.gold).update(told)
    return part


@router.post(
    "/projects/{project_id}/tasks/{task_id}/check",
    response={204: None},
    operation_id="set_gold",
)
def check_by(request: ApiRequest, project_id: RowId, task_id: RowId, sent: CheckSent) -> None:
    """Let a task whose answer is decided check people, or with `end` check nobody any more."""
    task = task_in(request, project_id, task_id)
    if sent.end:
        end_check(task, by=request.user)
    else:
        use_as_check(task, sent.explanation, by=request.user)


@router.get("/projects/{project_id}/checks", response=ChecksSchema)
def get_checks(request: ApiRequest, project_id: RowId) -> Project:
    """How people are checked, and how much they are asked for."""
    return open_project(request, project_id, Action.CHECK_LABELS)


@router.post("/projects/{project_id}/checks", response=ChecksSchema, operation_id="change_checks")
def check_so(request: ApiRequest, project_id: RowId, sent: OptionsSent) -> Project:
    """Change how people are checked; what is left out stays as it is."""
    project = open_project(request, project_id, Action.CHECK_LABELS)
    with transaction.atomic():
        known = Project.objects.select_for_update().get(pk=project.pk)
        form = filled(ChecksForm, sent.options, instance=known)
        set_checks(project, by=request.user, **form.cleaned_data)
    return Project.objects.get(pk=project.pk)


@router.get("/projects/{project_id}/allocations", response=PageSchema[AllocationSchema])
def list_allocations(
    request: ApiRequest, project_id: RowId, paging: Query[Paging]
) -> ListPart[Allocation]:
    """Tasks that were chosen at once by what they would teach, the newest first."""
    project = open_project(request, project_id, Action.MAKE_TASKS)
    return list_part(project.allocations.all(), paging, newest=True)


@router.post(
    "/projects/{project_id}/allocations",
    response={201: JobSchema},
    operation_id="allocate_tasks",
)
def choose_tasks(request: ApiRequest, project_id: RowId, sent: OptionsSent) -> Job:
    """Choose tasks by the newest scores of answers, some of them by chance, and make them in a job."""
    project = open_project(request, project_id, Action.MAKE_TASKS)
    if (found := newest_scores(project)) is None:
        raise Refusal(_("No answers are scored yet: start a run that scores them."))
    key = str(name_of(request))
    form = filled(AllocationForm, sent.options | {"key": key}, scores=found)
    return start_allocation(project, form.wish, key=key, by=request.user)
