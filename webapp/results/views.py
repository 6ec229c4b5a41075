"""The page of a run: its state, curves, samples, log and history, and what may be done to it."""

import csv
import json
from collections.abc import Callable, Iterator
from io import SEEK_END, StringIO
from itertools import chain, islice
from secrets import token_urlsafe
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language
from django.views.decorators.http import require_POST, require_safe

from alignment.kinds.costs import cost_sentence
from alignment.kinds.settings.divergences import agent_title
from webapp.accounts.requests import PersonRequest
from webapp.projects.access import Action, project_for
from webapp.rendering.services import rendered
from webapp.results import queries
from webapp.results.charts import charts_for, table_of
from webapp.results.kept import standings_of
from webapp.results.measurements import Evaluation, evaluation_of
from webapp.results.words import (
    agents,
    described,
    findings,
    forecast_in_words,
    receipts_of,
    tables,
    too_long,
)
from webapp.runs import waiting
from webapp.runs.actions import ACTIONS, actions_for
from webapp.runs.extension import can_be_extended
from webapp.runs.models import Run, State
from webapp.runs.points import Point, buckets_for, width_of
from webapp.site.errors import Refusal
from webapp.site.htmx import is_key, render_page
from webapp.site.sheets import as_text
from webapp.site.stamps import once

TABLE = 25  # rows of a curve's table; its CSV has all
MARK = token_urlsafe()  # where each viewer's own token comes in what is drawn for all


@login_required
@require_safe
def detail(request: PersonRequest, project_id: int, run_id: int) -> HttpResponse:
    """One run; while it is not over its state refreshes itself."""
    stamp = waiting.stamp_of_run(project_id, run_id)
    if request.htmx and not request.htmx.history_restore_request:
        return _live(request, project_id, run_id, stamp)
    run = run_for(request, project_id, run_id, with_history)
    context = standing(run, stamp) | evidence(run) | {"evaluation": evaluation_of(run, request.GET)}
    context["extendable"] = can_be_extended(run)
    context["kept"] = standings_of(run) if run.kind == "align" else None
    context["renderings"] = rendered(_texts_of(context["samples"], context["evaluation"]))
    return render_page(request, "runs/detail.html", context, partial="live")


def _live(request: PersonRequest, project_id: int, run_id: int, stamp: str) -> HttpResponse:
    """Where the run stands, drawn once for all who watch it; only the token of its buttons is each viewer's."""
    project_for(request.user, project_id, can=Action.SEE_RUNS)
    key = ("live", project_id, run_id, stamp, get_language())
    seen = once(key, lambda: live_of(run_for(request, project_id, run_id), stamp), keep=is_told)
    response = HttpResponse(seen.drawn.replace(MARK, get_token(request)))
    patch_vary_headers(response, ["HX-Request"])
    if seen.final:
        response["HX-Refresh"] = "true"  # results have come: the whole page is another one
    return response


class Live(NamedTuple):
    """Where a run stands, as the page draws it for anybody."""

    drawn: str
    waits: bool
    final: bool


def live_of(run: Run, stamp: str) -> Live:
    """The same, drawn."""
    context = standing(run, stamp) | {"csrf_token": MARK}
    drawn = render_to_string("runs/detail.html#live", context)
    return Live(drawn, run.state == State.QUEUED, run.is_final)


def is_told(live: Live) -> bool:
    """Whether a run's stamp says all of it; one that waits does so for others."""
    return not live.waits


def standing(run: Run, stamp: str) -> dict[str, Any]:
    """What the page shows of where the run stands."""
    return {
        "project": run.project,
        "run": run,
        "stamp": stamp,
        "actions": actions_for(run).items(),
        "eta": queries.eta_seconds(run),
        "reason": waiting.waiting_reason(run),
        "receipts": receipts_of(run.summary),
        "too_long": too_long(run.summary),
        "forecast": forecast_in_words(run),
    }


def with_history(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Runs with all that their page names."""
    related = runs.select_related("worker", "created_by", "parent", "trial__sweep")
    return related.prefetch_related(
        "events",
        "checkpoints",
        "needs__needs",
        "parts__round",
        "inputs__artifact__snapshot",
        "outputs__snapshot",
    )


def run_for(
    request: PersonRequest,
    project_id: int,
    run_id: int,
    related: Callable[[QuerySet[Run]], QuerySet[Run]] = lambda runs: runs,
    *,
    can: Action = Action.SEE_RUNS,
) -> Run:
    """The run, if the person may see it; otherwise it is not found."""
    project = project_for(request.user, project_id, can=can)
    return get_object_or_404(related(project.runs.all()), pk=run_id)


def _texts_of(samples: list[queries.SamplePair], evaluation: Evaluation | None) -> list[str]:
    """All completions that the page shows."""
    drawn = [sample.completion for pair in samples for _, sample in pair.sides if sample]
    return drawn + (evaluation.texts if evaluation else [])


def evidence(run: Run) -> dict[str, object]:
    """What the page shows below the state: curves, samples, settings, log."""
    series = queries.metric_series(run, buckets=TABLE)
    main, more = charts_for(run.kind, series, live=not run.is_final)
    estimates, facts = findings(run.kind, run.summary)
    return {
        "charts": [(chart, table_of(chart, series)) for chart in main],
        "more_charts": [(chart, table_of(chart, series)) for chart in more],
        "agent_titles": {name: agent_title(name) for name in run.config.get("divergences", [])},
        "agents": agents(run.summary),
        "cost": cost_sentence(run.summary),
        "original": queries.original_of(run),
        "estimates": estimates,
        "facts": facts,
        "tables": tables(run.kind, run.summary),
        "samples": queries.samples(run),
        "settings": described(run.kind, run.config),
        "log_stamp": queries.stamp_of_log(run.project_id, run.pk),
        "log": queries.log_tail(run).text,
    }


@login_required
@require_safe
def metrics(request: PersonRequest, project_id: int, run_id: int) -> HttpResponse:
    """Curves as JSON; with ?after= only points that are new or were not whole, where the others still hold."""
    stamp = waiting.stamp_of_run(project_id, run_id)
    project_for(request.user, project_id, can=Action.SEE_RUNS)
    known = tuple(request.GET.get(name, "") for name in ("after", "epoch", "width"))

    def draw() -> str:
        told = curves(run_for(request, project_id, run_id), *known)
        return json.dumps(told | {"stamp": stamp}, separators=(",", ":"))

    drawn = once(("curves", project_id, run_id, stamp, known), draw)
    return HttpResponse(drawn, content_type="application/json")


def curves(run: Run, after: str, epoch: str, width_seen: str) -> dict[str, object]:
    """What somebody lacks who has the points up to a step, of an epoch and as wide."""
    width = width_of(run, buckets_for(run))
    same = (epoch, width_seen) == (str(run.epoch), str(width))
    known = same and is_key(after) and int(after) <= run.step
    since = int(after) // width * width if known else 0  # the last point may not be whole
    series = queries.series_of(run, width, since=since)
    return {
        "step": run.step,
        "epoch": run.epoch,
        "width": width,
        "final": run.is_final,
        "reset": not known,
        "since": since,
        "series": {key: [sent_point(point) for point in points] for key, points in series.items()},
    }


def sent_point(point: Point) -> list[float | None]:
    """A point as a curve needs it: as exact as somebody can see."""
    return [point.step, *(None if one is None else float(f"{one:.5g}") for one in point[1:4])]


@login_required
@require_safe
def metrics_csv(request: PersonRequest, project_id: int, run_id: int) -> HttpResponseBase:
    """Every number of a run, or of ?key=, as a file; a long one is sent while it is read."""
    run = run_for(request, project_id, run_id)
    parts = csv_of(queries.all_numbers(run, request.GET.getlist("key") or None))
    first, more = next(parts), next(parts, None)
    sent = "text/csv; charset=utf-8"
    response: HttpResponseBase = HttpResponse(first, content_type=sent)
    if more is not None:
        response = StreamingHttpResponse(chain((first, more), parts), content_type=sent)
    response["Content-Disposition"] = f'attachment; filename="run-{run.pk}.csv"'
    return response


@login_required
@require_safe
def evaluated(request: PersonRequest, project_id: int, run_id: int) -> HttpResponse:
    """What evaluations of a run's kept checkpoints have found by now, for the page that shows it; of none nothing."""
    run = run_for(request, project_id, run_id)
    if (kept := standings_of(run)) is None:
        return HttpResponse()
    return render(request, "runs/kept.html", {"project": run.project, "run": run, "kept": kept})


def csv_of(rows: Iterator[tuple[int, str, float | None]]) -> Iterator[str]:
    """The lines of a file of numbers, many at a time."""
    some, part = list(islice(rows, queries.CHUNK)), StringIO("step,metric,value\r\n")
    part.seek(0, SEEK_END)
    while True:
        csv.writer(part).writerows((step, as_text(key), value) for step, key, value in some)
        yield part.getvalue()
        if not (some := list(islice(rows, queries.CHUNK))):
            return
        part = StringIO()


@login_required
@require_safe
def log(request: PersonRequest, project_id: int, run_id: int) -> HttpResponse | FileResponse:
    """The end of the log for the page, or all of it as a file."""
    run = run_for(request, project_id, run_id)
    if request.htmx:
        stamp = queries.stamp_of_log(project_id, run_id)
        context = {"project": run.project, "run": run, "log_stamp": stamp}
        context["log"] = queries.log_tail(run).text
        return render(request, "runs/detail.html#log", context)
    return FileResponse(
        queries.whole_log(run),
        as_attachment=True,
        filename=f"run-{run.pk}.log",
        content_type="text/plain; charset=utf-8",
    )


@login_required
@require_POST
def act(request: PersonRequest, project_id: int, run_id: int, action: str) -> HttpResponse:
    """Cancel, pause, resume, try again, or evaluate the newest checkpoint; what is not possible is said."""
    run = run_for(request, project_id, run_id, can=Action.START_RUNS)
    if action not in ACTIONS:
        raise Http404
    try:
        run = ACTIONS[action].service(run, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("runs:detail", run.project_id, run.pk)
