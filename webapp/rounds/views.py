"""Pages of rounds: the list, the launch form, one round."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.rendering.services import rendered
from webapp.results.measurements import evaluation_of
from webapp.results.queries import eta_of
from webapp.results.words import described
from webapp.rounds import plans, queries, services
from webapp.rounds.comparison import MOST, compared
from webapp.rounds.config import PRESETS
from webapp.rounds.forms import RoundForm
from webapp.rounds.models import Round
from webapp.site.choices import found_for, sought_in
from webapp.site.errors import Refusal
from webapp.site.htmx import is_key, render_page
from webapp.site.pages import page_of
from webapp.site.stamps import once


@login_required
@require_safe
def index(request: PersonRequest, project_id: int) -> HttpResponse:
    """All rounds of the project, newest first."""
    project = project_for(request.user, project_id, can=Action.SEE_ROUNDS)
    rounds = queries.with_parts(project.rounds.all())
    page = page_of(rounds, request.GET, "-number")
    context = {
        "project": project,
        "page": page,
        "standings": [queries.standing(row) for row in page],
        "missing": queries.missing_for_round(project),
    }
    return render(request, "rounds/list.html", context)


@login_required
@require_safe
def compare(request: PersonRequest, project_id: int) -> HttpResponse:
    """The rounds that ?round= names, side by side."""
    project = project_for(request.user, project_id, can=Action.SEE_ROUNDS)
    asked = [int(pk) for pk in request.GET.getlist("round") if is_key(pk)][:MOST]
    rows = queries.standings(project.rounds.filter(pk__in=asked).order_by("number"))
    context = {"project": project, "comparison": compared(rows) if len(rows) > 1 else None}
    return render(request, "rounds/compare.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def launch(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form of a new round; a changed form asks here for the sentence that sums it up."""
    project = project_for(request.user, project_id, can=Action.START_ROUNDS)
    plan = plans.plan_from(project, request.GET)
    if request.method == "POST":
        form = RoundForm(request.POST, project=project, start=plan.config)
        sent = not request.htmx and form.is_valid()  # htmx asks what would happen
        if sent and (made := _start_from(request, project, form)) is not None:
            return redirect("rounds:detail", project.pk, made.pk)
    else:
        initial = plan.initial(uuid4()) | sought_in(request.GET)
        form = RoundForm(initial=initial, project=project, start=plan.config)
    if (found := found_for(request, form)) is not None:
        return found
    context = {
        "project": project,
        "form": form,
        "plan": plan,
        "presets": PRESETS,
        "outlook": plans.outlook(form, plan),
        "missing": queries.missing_for_round(project),
    }
    return render_page(request, "rounds/launch.html", context, partial="outlook")


def _start_from(request: PersonRequest, project: Project, form: RoundForm) -> Round | None:
    """Start what the form describes; a refusal is told in the form."""
    chosen = form.cleaned_data
    try:
        return services.start_round(
            snapshot=chosen["snapshot"],
            policy=chosen["policy"],
            backbone=chosen["backbone"],
            config=form.config,
            key=str(chosen["key"]),
            created_by=request.user,
        )
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        return None


@login_required
@require_safe
def detail(request: PersonRequest, project_id: int, round_id: int) -> HttpResponse:
    """One round: its chain while it works, its results afterwards."""
    project = project_for(request.user, project_id, can=Action.SEE_ROUNDS)
    stamp = queries.stamp_of_round(project.pk, round_id)
    if request.htmx and not request.htmx.history_restore_request:
        return _live(request, project, round_id, stamp)
    context = _standing(project, round_id, stamp)
    evaluation = evaluation_of(context["standing"].evaluation, request.GET)
    parts = context["standing"].parts
    context |= {
        "evaluation": evaluation,
        "renderings": rendered(evaluation.texts if evaluation else []),
        "settings": [(part, described(part.run.kind, part.run.config)) for part in parts],
    }
    return render_page(request, "rounds/detail.html", context, partial="live")


def _live(request: PersonRequest, project: Project, round_id: int, stamp: str) -> HttpResponse:
    """The chain, drawn once for all who watch it."""

    def draw() -> tuple[str, str]:
        context = _standing(project, round_id, stamp)
        return context["standing"].stamp, render_to_string("rounds/detail.html#live", context)

    seen, drawn = once(("round", round_id, stamp, get_language()), draw)
    response = HttpResponse(drawn)
    patch_vary_headers(response, ["HX-Request"])
    if request.GET.get("seen") != seen:
        response["HX-Refresh"] = "true"  # results have come: the whole page is another one
    return response


def _standing(project: Project, round_id: int, stamp: str) -> dict[str, Any]:
    """What the page shows of where a round stands."""
    row = get_object_or_404(queries.with_parts(project.rounds.all()), pk=round_id)
    standing = queries.standing(row)
    eta = eta_of(standing.now.run) if standing.now else None
    return {"project": project, "standing": standing, "stamp": stamp, "eta": eta}


@login_required
@require_POST
def cancel(request: PersonRequest, project_id: int, round_id: int) -> HttpResponse:
    """Cancel what is left of a round."""
    return _act(request, project_id, round_id, services.cancel_round)


@login_required
@require_POST
def retry(request: PersonRequest, project_id: int, round_id: int) -> HttpResponse:
    """Queue what failed once more."""
    return _act(request, project_id, round_id, services.retry_round)


def _act(
    request: PersonRequest, project_id: int, round_id: int, service: Callable[..., int]
) -> HttpResponse:
    """Do something to a round; what is not possible is said on its page."""
    project = project_for(request.user, project_id, can=Action.START_ROUNDS)
    row = get_object_or_404(project.rounds, pk=round_id)
    try:
        service(row, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("rounds:detail", project.pk, row.pk)
