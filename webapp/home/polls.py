"""Pages that ask again and again: while nothing is new they get a short word instead of a page."""

from collections.abc import Callable
from functools import lru_cache
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


@lru_cache(maxsize=2000)
def watched_at(path: str) -> tuple[Watched, int, int]:
    """Which page that is, and its project and row; raises Resolver404 or KeyError for others.

    The same few pages ask all the time, and to look through all addresses costs as much as a query.
    """
    found = resolve(path)
    watched = WATCHED[found.view_name]
    row = found.kwargs[watched.row] if watched.row else 0
    return watched, found.kwargs["project_id"], row


def has_seen_all(request: PersonRequest) -> bool:
    """Whether the page that asks is one that may, and its stamp is still the one."""
    try:
        watched, project_id, row_id = watched_at(request.path_info)
        read_for(request, project_id)
        if not request.user.is_authenticated:
            return False
        project_for(request.user, project_id, can=watched.action)
    except (Resolver404, KeyError, Http404):
        return False  # the page itself says why
    now = watched.stamp(project_id, row_id)
    return bool(now) and request.headers[SEEN] == now
