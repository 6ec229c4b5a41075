"""The label page, and the tables of tasks and labels."""

from itertools import chain
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.htmx import HtmxRequest, render_page
from webapp.labeling import queries, queue, services
from webapp.labeling.forms import (
    FLAGS,
    AssignmentForm,
    CardsForm,
    DraftForm,
    LabelFilter,
    LabelForm,
    SkipForm,
    TaskFilter,
    UndoForm,
)
from webapp.labeling.models import SKIP_REASONS, Assignment, Label
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project

ROWS = 50  # of a page of a table
Checked = TypeVar("Checked", bound=AssignmentForm)


class Scale(NamedTuple):
    """One button of the scale: the key, the words on it and the words for a screen reader."""

    value: int
    word: str
    meaning: str


SCALE = (
    Scale(1, "much", "A is much better"),
    Scale(2, "better", "A is better"),
    Scale(3, "slightly", "A is slightly better"),
    Scale(4, "tie", "Tie: equally good"),
    Scale(5, "slightly", "B is slightly better"),
    Scale(6, "better", "B is better"),
    Scale(7, "much", "B is much better"),
    Scale(0, "both bad", "Both are bad"),
)


@login_required
@require_http_methods(["GET", "POST"])
def label(request: HtmxRequest, project_id: int) -> HttpResponse:
    """Show the annotator's next pair; a POST first stores, undoes or skips the last one.

    The same address serves programs: with `Accept: application/json` it answers the next card.
    """
    project = project_for(request.user, project_id, can=Action.LABEL)
    first, refusal = None, ""
    if request.method == "POST":
        try:
            first = _act(request, project)
        except services.LabelingError as error:
            refusal = str(error)
    response = _answer(request, project, first, refusal)
    patch_vary_headers(response, ["Accept", "HX-Request"])
    return response


def _act(request: HtmxRequest, project: Project) -> Assignment | None:
    """Do what was posted; the assignment to show next when an undo says so."""
    if "renew" in request.POST:
        return None
    if "undo" in request.POST:
        undo = UndoForm(request.POST)
        return (
            services.undo_label(request.user, undo.cleaned_data["undo"], project=project)
            if undo.is_valid()
            else None
        )
    owner = {"annotator": request.user, "project": project}
    if "skip" in request.POST:
        form = _checked(SkipForm(request.POST, **owner))
        services.skip(form.cleaned_data["assignment"], form.cleaned_data["skip"], form.draft)
    else:
        fields = _checked(LabelForm(request.POST, **owner)).cleaned_data
        services.submit_label(**{name: fields[name] for name in fields.keys() - {"at"}})
    return None


def _checked(form: Checked) -> Checked:
    """The form, if it is valid; raises LabelingError with what it says otherwise."""
    if not form.is_valid():
        raise services.LabelingError(" ".join(chain.from_iterable(form.errors.values())))
    return form


def _answer(
    request: HtmxRequest, project: Project, first: Assignment | None, refusal: str
) -> HttpResponse:
    program = request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    if refusal and (program or request.htmx):
        return JsonResponse({"error": refusal}, status=409)
    if program:
        return _card(request, project, first)
    if request.htmx:
        return _fresh_cards(request, project, first)
    if request.method == "POST" and not refusal:
        return redirect("labeling:label", project.pk)
    cards = queue.claim_page(project, request.user)
    context = _context(request, project, cards) | {
        "refusal": refusal,
        "shown": cards[:1],
        "client_id": uuid4(),
    }
    return render(request, "labeling/label.html", context)


def _card(request: HttpRequest, project: Project, first: Assignment | None) -> JsonResponse:
    """The next card for a program."""
    card = first or queue.claim(project, request.user)
    if card is None:
        return JsonResponse({"assignment": None, "waiting": 0})
    return JsonResponse(
        {
            "assignment": card.pk,
            "prompt": card.task.prompt.text,
            "messages": card.task.prompt.messages,
            "left": card.left.text,
            "right": card.right.text,
            "waiting": queries.waiting_for(project, request.user),
        }
    )


def _fresh_cards(request: HtmxRequest, project: Project, first: Assignment | None) -> HttpResponse:
    """The cards that the page lacks, and which of its own are lost."""
    form = CardsForm(request.POST)
    form.is_valid()
    cards = queue.claim_page(project, request.user)
    if first:
        cards = [first, *(card for card in cards if card.pk != first.pk)]
    held = services.extend_leases(request.user, form.ids, shown=form.cleaned_data.get("shown"))
    fresh = [card for card in cards if card.pk not in form.ids]
    context = _context(request, project, fresh)
    if first:
        held.add(first.pk)
    context |= {"undone": first, "lost": [pk for pk in form.ids if pk not in held]}
    return render_page(request, "labeling/label.html", context, partial="cards")


def _context(request: HttpRequest, project: Project, cards: list[Assignment]) -> dict[str, object]:
    newest = Label.objects.current().of_project(project).filter(annotator=request.user).first()
    return {
        "project": project,
        "cards": cards,
        "scale": SCALE,
        "flags": FLAGS,
        "reasons": SKIP_REASONS,
        "waiting": queries.waiting_for(project, request.user),
        "most": queries.WAITING_SHOWN,
        "today": queries.labelled_today(request.user, project),
        "newest": newest,
    }


@login_required
@require_POST
def draft(request: HtmxRequest, project_id: int) -> HttpResponse:
    """Keep what is being written about a pair; a page asks this after a pause and when it is left."""
    project = project_for(request.user, project_id, can=Action.LABEL)
    try:
        form = _checked(DraftForm(request.POST, annotator=request.user, project=project))
    except services.LabelingError as refusal:
        return JsonResponse({"error": str(refusal)}, status=409)
    fields = form.cleaned_data
    services.save_draft(fields["assignment"], form.draft, at=fields["at"])
    return HttpResponse(status=204)


@login_required
@require_safe
def tasks(request: HtmxRequest, project_id: int) -> HttpResponse:
    """The project's tasks, by how far they are."""
    project = project_for(request.user, project_id, can=Action.SEE_DATA)
    form = TaskFilter(request.GET)
    form.is_valid()
    found = project.tasks.of_state(form.cleaned_data.get("state", "")).listed()
    context = _table(request, project, found) | {"form": form}
    return render_page(request, "labeling/tasks.html", context, partial="rows")


@login_required
@require_safe
def labels(request: HtmxRequest, project_id: int) -> HttpResponse:
    """The project's labels, newest first."""
    project = project_for(request.user, project_id, can=Action.SEE_DATA)
    form = LabelFilter(request.GET, project=project)
    form.is_valid()
    chosen = form.cleaned_data
    found = Label.objects.of_project(project).standing(chosen.get("show", ""))
    found = found.by(annotator=chosen.get("annotator"), kind=chosen.get("by", ""))
    context = _table(request, project, found) | {"form": form}
    return render_page(request, "labeling/labels.html", context, partial="rows")


def _table(request: HttpRequest, project: Project, found: QuerySet[Any]) -> dict[str, object]:
    """One page of rows, what its links keep of the address, and the counts above it."""
    kept = request.GET.copy()
    kept.pop("page", None)
    return {
        "project": project,
        "page": Paginator(found, ROWS).get_page(request.GET.get("page")),
        "query": f"{kept.urlencode()}&" if kept else "",
        "filtered": any(kept.values()),
        "progress": queries.progress(project),
    }
