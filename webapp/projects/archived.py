"""Archived projects: all of one can be looked at and taken along, and nothing of it changes."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.projects.access import seat_in
from webapp.projects.errors import ProjectError
from webapp.projects.models import Project

SAFE = ("GET", "HEAD", "OPTIONS")
SAID = _(
    "This project is archived: it can be looked at and exported, and nothing of it changes. An admin can bring it back."
)
# What somebody may send all the same; and a page that hands out tasks to whoever opens it.
OPEN = ("upkeep", "copy_project", "datasets:export", "jobs:cancel")
HANDS_OUT = ("labeling:label",)


class ReadOnly:
    """Refuses what would change an archived project, in words."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The address is not resolved yet."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, _view: object, _args: object, kwargs: dict[str, object]
    ) -> HttpResponse | None:
        """The refusal, where there is one; whoever may not even look is told so by the view."""
        match = request.resolver_match
        name = match.view_name if match else ""
        number = kwargs.get("project_id")
        if (
            not isinstance(number, int) or name in OPEN
        ):  # the API's are no numbers yet: api.bearer asks
            return None
        if request.method in SAFE and name not in HANDS_OUT:
            return None
        person = request.user
        seat = seat_in(person, number) if isinstance(person, User) else None
        return _refused(request) if seat and seat.project.archived_at else None


def must_be_open(project: Project) -> None:
    """Raise ProjectError for an archived project."""
    if project.archived_at:
        raise ProjectError(SAID)


def _refused(request: HttpRequest) -> HttpResponse:
    """For a script in JSON, as the label page is refused."""
    accepted = request.get_preferred_type(["text/html", "application/json"])
    if "HX-Request" in request.headers or accepted == "application/json":
        return JsonResponse({"kind": "refused", "error": SAID}, status=409)
    return render(request, "projects/refused.html", {"why": SAID}, status=409)
