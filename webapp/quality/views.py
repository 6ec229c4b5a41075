"""Pages of quality: how far people agree, how each of them answers, and who is right where they do not."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.labeling import dispatch
from webapp.labeling.composition import Composition, composition_of
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.descriptor import LETTERS, Key, TaskKind
from webapp.labeling.models import Assignment, Gold, Label, Task
from webapp.labeling.services import LabelingError
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.quality import disagreements as disputed
from webapp.quality import queries
from webapp.quality.adjudication import (
    AdjudicationError,
    adjudicate,
    end_check,
    take_decision_back,
    use_as_check,
)
from webapp.quality.forms import BackForm, CheckForm, ChecksForm, DecisionForm, DisputeFilter
from webapp.quality.known import golds_answered, golds_of
from webapp.quality.measures import FASTEST
from webapp.quality.services import set_checks, start_measuring
from webapp.rendering.services import rendered
from webapp.site.htmx import render_page
from webapp.site.pages import ROWS, page_of, page_of_list


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def report(request: PersonRequest, project_id: int) -> HttpResponse:
    """What was measured of the labels; a POST measures them anew."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    if request.method == "POST":
        job = start_measuring(project, by=request.user)
        return redirect("jobs:detail", project.pk, job.pk)
    context: dict[str, object] = {"project": project, "fastest": FASTEST}
    if found := queries.report_of(project):
        page = page_of_list(found.figures["people"], request.GET, ROWS)
        context |= {
            "report": found,
            "since": queries.labels_since(found),
            "agreements": queries.agreements(found),
            "rulers": queries.null_rulers(found),
            "people": queries.people(page),
            "gold": found.figures["gold"],
            "again": found.figures["again"],
            "page": page,
        }
    else:
        context["any_labels"] = Label.objects.current().filter(project=project).exists()
    return render(request, "quality/report.html", context)


@login_required
@require_safe
def disagreements(request: PersonRequest, project_id: int) -> HttpResponse:
    """Tasks about which people say different things, or what was decided about such tasks."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    form = DisputeFilter(request.GET)
    form.is_valid()
    context = {"project": project, "form": form, "several_kinds": len(TASK_KINDS) > 1}
    context |= _listed(request, project, form.cleaned_data)
    return render_page(request, "quality/disagreements.html", context, partial="rows")


def _listed(request: PersonRequest, project: Project, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """One page of what is open, or of what is decided."""
    if chosen.get("show") == "decided":
        decided = page_of(disputed.decisions(project), request.GET, "-pk")
        tasks = disputed.rows_of_tasks([one.task_id for one in decided], decided)
        return {"page": decided, "rows": tasks}
    everybody = chosen.get("by") == "everybody"
    found = disputed.disputes(project, everybody=everybody, kind=chosen.get("kind", ""))
    page = page_of(found, request.GET, "-pk")
    return {"page": page, "rows": disputed.rows_of_tasks([one.task_id for one in page])}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def disagreement(request: PersonRequest, project_id: int, task_id: int) -> HttpResponse:
    """One task with all that was said of it; a POST decides what is right."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    task = get_object_or_404(Task.objects.select_related("prompt"), project=project, pk=task_id)
    form = DecisionForm(request.POST or None, task=task, initial={"key": uuid4()})
    if form.is_valid():
        try:
            adjudicate(
                task, form.cleaned_data["decision"], by=request.user, key=form.cleaned_data["key"]
            )
        except AdjudicationError as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Decided. Snapshots take this from now on."))
            return redirect("quality:disagreement", project.pk, task.pk)
    return render(request, "quality/disagreement.html", _about(project, task) | {"form": form})


def _about(project: Project, task: Task) -> dict[str, object]:
    """What the page of a task shows."""
    decided = list(task.adjudications.select_related("by").order_by("-pk"))
    standing = [one for one in decided if one.standing]
    for one in decided:
        one.task = task
    (row,) = disputed.rows_of_tasks([task.pk], standing)
    composed = composition_of(project)
    return {
        "project": project,
        "task": task,
        "row": row,
        "gold": Gold.objects.filter(task=task).first(),
        "check_form": CheckForm(),
        "before": [one for one in decided if not one.standing],
        "items": [(LETTERS[place], one, "") for place, one in enumerate(task.completions)],
        "choices": _choices(task.asks, composed),
        "card": Assignment(task=task, slot=-task.flip % max(task.size, 1)),
        "keys_here": task.asks.composed_keys(composed),
        "composition": composed,
        "keys_off": True,
        "renderings": rendered([*task.prompt.spoken, *(one.text for one in task.completions)]),
    }


def _choices(kind: TaskKind, composed: Composition) -> list[Key]:
    """The buttons that answer by themselves, where nothing has to be filled in besides."""
    keys = kind.composed_keys(composed)
    return [] if kind.written else [key for key in keys if key.answer is not None]


@login_required
@require_POST
def undecide(request: PersonRequest, project_id: int, task_id: int) -> HttpResponse:
    """Take the decision about a task back."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    task = get_object_or_404(Task.objects.filter(project=project), pk=task_id)
    if take_decision_back(task, by=request.user):
        messages.success(request, _("The decision is taken back: its labels speak again."))
    return redirect("quality:disagreement", project.pk, task.pk)


@login_required
@require_POST
def use_task_as_check(request: PersonRequest, project_id: int, task_id: int) -> HttpResponse:
    """Let a task whose answer is decided check people, or check them no more."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    task = get_object_or_404(Task.objects.filter(project=project), pk=task_id)
    form = CheckForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(map(str, form.errors["explanation"])))
    elif form.cleaned_data["end"]:
        end_check(task, by=request.user)
        messages.success(request, _("It checks nobody any more."))
    else:
        _use_as_check(request, task, form.cleaned_data["explanation"])
    return redirect("quality:disagreement", project.pk, task.pk)


def _use_as_check(request: PersonRequest, task: Task, explanation: str) -> None:
    try:
        use_as_check(task, explanation, by=request.user)
    except AdjudicationError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("It is a check now: see how often checks come, under Checks."))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def checks(request: PersonRequest, project_id: int) -> HttpResponse:
    """How people are checked, and the tasks of known answer; a POST changes how."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    form = ChecksForm(request.POST or None, instance=Project.objects.get(pk=project.pk))
    if form.is_valid():
        set_checks(project, by=request.user, **form.cleaned_data)
        messages.success(request, _("Saved. It holds for the next cards that people are given."))
        return redirect("quality:checks", project.pk)
    page = page_of(golds_of(project), request.GET, "-pk")
    context = {"project": project, "form": form, "page": page, "checks": golds_answered(page)}
    return render(request, "quality/checks.html", context)


@login_required
@require_POST
def send_back(request: PersonRequest, project_id: int, task_id: int) -> HttpResponse:
    """Give an answer back to who gave it: its place waits for them."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    task = get_object_or_404(Task.objects.filter(project=project), pk=task_id)
    form = BackForm(request.POST)
    form.is_valid()
    said = Label.objects.current().filter(task=task, pk=form.cleaned_data.get("back") or 0).first()
    try:
        back = _sent_back(request, said, form) if said else None
    except LabelingError as refusal:
        messages.error(request, str(refusal))
        return redirect("quality:disagreement", project.pk, task.pk)
    if back is None:
        messages.error(request, _("That answer is not there any more: nothing was sent back."))
    else:
        told = _("%(name)s is asked again.") % {"name": back.annotator.shown_name}
        messages.success(request, told)
    return redirect("quality:disagreement", project.pk, task.pk)


def _sent_back(request: PersonRequest, said: Label, form: BackForm) -> Assignment:
    """Whose answer it was, asked again."""
    return dispatch.send_back(said, form.cleaned_data.get("rationale", ""), by=request.user)
