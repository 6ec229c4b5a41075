"""Tasks, and the labels that answer them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import transaction
from django.http import QueryDict
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.errors import FieldsError
from webapp.api.filled import errors_of, filled, sent_as
from webapp.api.once import name_of
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import (
    ChangedSchema,
    LabelledSchema,
    LabelSchema,
    MadeSchema,
    NextSchema,
    TaskSchema,
)
from webapp.api.sent import LabelSent, OptionsSent, SkipSent, TasksSent
from webapp.labeling import dispatch, queue, services
from webapp.labeling.forms import AssignmentForm, DispatchForm, LabelForm, MakeForm, SkipForm
from webapp.labeling.making import TasksWanted, make_tasks
from webapp.labeling.models import Assignment, Label, Task
from webapp.labeling.queries import with_items
from webapp.labeling.views import ANSWER
from webapp.labeling.warned import put_aside_declined
from webapp.projects.access import Action
from webapp.projects.models import Project
from webapp.site.deadlocks import again_after_deadlock
from webapp.site.writers import in_turn

Checked = TypeVar("Checked", bound=AssignmentForm)

router = Router(tags=["labels"])


@router.get("/projects/{project_id}/tasks", response=PageSchema[TaskSchema])
def list_tasks(
    request: ApiRequest,
    project_id: RowId,
    paging: Query[Paging],
    state: str = "",
    kind: str = "",
    band: str = "",
) -> ListPart[Task]:
    """Tasks, the oldest first; `state` is open, leased, done or skipped, `band` urgent, normal or later."""
    project = open_project(request, project_id, Action.SEE_DATA)
    rows = project.tasks.of_state(state).of_kind(kind).in_band(band)
    return list_part(rows.prefetch_related("items"), paging)


@router.post("/projects/{project_id}/tasks", response={201: MadeSchema}, operation_id="make_tasks")
def ask_people(request: ApiRequest, project_id: RowId, sent: OptionsSent) -> dict[str, int]:
    """Make tasks about prompts and answers that are there; what is asked already is not asked again."""
    project = open_project(request, project_id, Action.MAKE_TASKS)
    form = filled(MakeForm, sent.options, project=project)
    made = make_tasks(project, TasksWanted(**form.cleaned_data), by=request.user)
    return made._asdict()


@router.post(
    "/projects/{project_id}/tasks/change", response=ChangedSchema, operation_id="change_tasks"
)
def do_with_tasks(request: ApiRequest, project_id: RowId, sent: TasksSent) -> dict[str, int]:
    """Ask again, ask more people, keep places for somebody, ask nobody more, or put tasks into a band."""
    project = open_project(request, project_id, Action.CHECK_LABELS)
    form = DispatchForm(
        sent_as(sent.dict(exclude={"tasks"}) | {"task": sent.tasks}), project=project
    )
    if not form.is_valid():
        raise FieldsError(errors_of(form))
    changed = dispatch.change_tasks(project, by=request.user, **form.cleaned_data)
    return {"changed": changed}


@router.get("/projects/{project_id}/labels", response=PageSchema[LabelSchema])
def list_labels(
    request: ApiRequest, project_id: RowId, paging: Query[Paging], show: str = "", kind: str = ""
) -> ListPart[Label]:
    """Labels that speak now, the oldest first; or with `show` extra, disagreement or history."""
    project = open_project(request, project_id, Action.SEE_DATA)
    rows = Label.objects.filter(project=project).standing(show).of_kind(kind)
    return list_part(rows.select_related("task", "annotator"), paging)


@router.post("/projects/{project_id}/tasks/next", response=NextSchema)
def take_next_task(request: ApiRequest, project_id: RowId) -> dict[str, object]:
    """Take the next task for the token's person, or the one that they hold, to be answered soon."""
    project = open_project(request, project_id, Action.LABEL)
    held = queue.claim_page(project, request.user, count=1)
    while put_aside_declined(project, request.user, [card.pk for card in held]):
        held = queue.claim_page(project, request.user, count=1)
    with_items(held)
    return {"card": _card(held[0]) if held else None}


def _card(card: Assignment) -> dict[str, object]:
    card.refresh_from_db(fields=["lease_until"])  # which the database reckons
    return {
        "assignment": card.pk,
        "task": card.task_id,
        "kind": card.task.kind,
        "messages": card.task.prompt.messages,
        "items": [completion.text for completion in card.shown],
        "lease_until": card.lease_until,
    }


@router.post(
    "/projects/{project_id}/labels", response={201: LabelledSchema}, operation_id="submit_label"
)
def answer_task(request: ApiRequest, project_id: RowId, sent: LabelSent) -> Label:
    """Answer a task that was taken; a second answer to it speaks in place of the first."""
    project = open_project(request, project_id, Action.LABEL)
    fields = sent.answer | sent.dict(include={"assignment", "rationale", "flags", "visible_ms"})
    return _store(request, project, fields | {"client_id": sent.client_id or name_of(request)})


@in_turn
@again_after_deadlock
@transaction.atomic
def _store(request: ApiRequest, project: Project, fields: Mapping[str, Any]) -> Label:
    queue.lock(request.user)
    form = _checked(LabelForm(sent_as(fields), annotator=request.user, project=project))
    return services.store_label(**{name: form.cleaned_data[name] for name in ANSWER})


@router.post("/projects/{project_id}/tasks/skip", response={204: None})
def skip_task(request: ApiRequest, project_id: RowId, sent: SkipSent) -> None:
    """Give a task back that its person does not want to answer."""
    project = open_project(request, project_id, Action.LABEL)
    fields = {"assignment": sent.assignment, "skip": sent.reason, "client_id": name_of(request)}
    _skip(request, project, sent_as(fields))


@in_turn
@again_after_deadlock
@transaction.atomic
def _skip(request: ApiRequest, project: Project, data: QueryDict) -> None:
    queue.lock(request.user)
    form = _checked(SkipForm(data, annotator=request.user, project=project))
    asked = form.cleaned_data
    services.skip(asked["assignment"], asked["skip"], skip_id=asked["client_id"])


def _checked(form: Checked) -> Checked:
    if not form.is_valid():
        raise FieldsError(errors_of(form))
    return form
