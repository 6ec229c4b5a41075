"""Pages that ask again and again: while nothing is new they get a short word instead of a page."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from django.http import Http404, HttpResponse
from django.urls import Resolver404, resolve

from webapp.accounts.requests import PersonRequest
from webapp.jobs.services import stamp_of_job
from webapp.projects.access import Action, project_for
from webapp.projects.sessions import read_for
from webapp.results.queries import stamp_of_log
from webapp.rounds.queries import stamp_of_round
from webapp.runs.waiting import stamp_of_queue, stamp_of_run
from webapp.site.stamps import SEEN
from webapp.sweeps.queries import stamp_of_sweep


class Watched(NamedTuple):
    """A page that asks again: what somebody may who sees it, and the stamp of what it shows."""

    action: Action
    row: str  # of the address; empty where the page is about all of a project's
    stamp: Callable[[int, int], str]  # by project and row


WATCHED = {
    "runs:list": Watched(Action.SEE_RUNS, "", stamp_of_queue),
    "runs:detail": Watched(Action.SEE_RUNS, "run_id", stamp_of_run),
    "runs:log": Watched(Action.SEE_RUNS, "run_id", stamp_of_log),
    "runs:metrics": Watched(Action.SEE_RUNS, "run_id", stamp_of_run),
    "rounds:detail": Watched(Action.SEE_ROUNDS, "round_id", stamp_of_round),
    "sweeps:detail": Watched(Action.SEE_RUNS, "sweep_id", stamp_of_sweep),
    "jobs:detail": Watched(Action.IMPORT_DATA, "job_id", stamp_of_job),
}


class NothingNew:
    """Answers who has seen all there is, before anything is made for a page."""

    def __init__(self, get_response: Callable[[PersonRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: PersonRequest) -> HttpResponse:
        """Nothing, or what the page says."""
        asked = request.method in ("GET", "HEAD") and SEEN in request.headers
        if asked and has_seen_all(request):
            return HttpResponse(status=204, headers={"X-Frame-Options": "DENY"})
        return self.get_response(request)


def _row_of(parts: Mapping[str, int], watched: Watched) -> int:
    return parts[watched.row] if watched.row else 0


def has_seen_all(request: PersonRequest) -> bool:
    """Whether the page that asks is one that may, and its stamp is still the one."""
    try:
        found = resolve(request.path_info)
        watched = WATCHED[found.view_name]
        project_id, row_id = found.kwargs["project_id"], _row_of(found.kwargs, watched)
        read_for(request, project_id)
        if not request.user.is_authenticated:
            return False
        project_for(request.user, project_id, can=watched.action)
    except (Resolver404, KeyError, Http404):
        return False  # the page itself says why
    now = watched.stamp(project_id, row_id)
    return bool(now) and request.headers[SEEN] == now
