"""What the frame of every page needs."""

from django.http import HttpRequest

from webapp.accounts.roles import Role
from webapp.projects.access import INCLUDED, seat_in


def navigation(request: HttpRequest) -> dict[str, object]:
    """The project in the address, and what the viewer's role there may use."""
    match = getattr(request, "resolver_match", None)
    if match is None or not request.user.is_authenticated:
        return {}
    number = match.kwargs.get("project_id")  # the API's are no numbers yet
    seat = seat_in(request.user, number) if isinstance(number, int) else None
    role = seat.role if seat else None
    return {
        "nav_project": seat.project if seat else None,
        "nav_role": role,
        "is_researcher": role in INCLUDED[Role.RESEARCHER],
        "is_admin": role in INCLUDED[Role.ADMIN],
    }
