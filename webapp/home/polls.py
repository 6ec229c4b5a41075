"""Pages that ask again and again: while nothing is new they get a short word instead of a page."""

from collections.abc import Callable
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from webapp.jobs.services import stamp_of_job
from webapp.projects.access import Action, may
from webapp.projects.glance import role_at_a_glance
from webapp.rounds.queries import stamp_of_round
from webapp.runs.waiting import stamp_of_run
from webapp.site.stamps import SEEN


class Watched(NamedTuple):
    """A page that asks again: what somebody may who sees it, and the stamp of what it shows."""

    action: Action
    row: str  # of the address
    stamp: Callable[[int, int], str]  # by project and row


WATCHED = {
    "runs:detail": Watched(Action.SEE_RUNS, "run_id", stamp_of_run),
    "runs:metrics": Watched(Action.SEE_RUNS, "run_id", stamp_of_run),
    "rounds:detail": Watched(Action.SEE_ROUNDS, "round_id", stamp_of_round),
    "jobs:detail": Watched(Action.IMPORT_DATA, "job_id", stamp_of_job),
}


class NothingNew:
    """Answers who has seen all there is, before anything is made for a page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Nothing, or what the page says."""
        asked = request.method in ("GET", "HEAD") and SEEN in request.headers
        if asked and has_seen_all(request):
            return HttpResponse(status=204, headers={"X-Frame-Options": "DENY"})
        return self.get_response(request)


def has_seen_all(request: HttpRequest) -> bool:
    """Whether the page that asks is one that may, and its stamp is still the one."""
    try:
        found = resolve(request.path_info)
    except Resolver404:
        return False
    if (watched := WATCHED.get(found.view_name)) is None:
        return False
    project_id, row_id = found.kwargs["project_id"], found.kwargs[watched.row]
    if not may(role_at_a_glance(request, project_id), watched.action):
        return False  # the page itself says why
    now = watched.stamp(project_id, row_id)
    return bool(now) and request.headers[SEEN] == now
