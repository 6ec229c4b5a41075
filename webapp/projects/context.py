"""What the frame of every page needs."""

from django.http import HttpRequest

from webapp.accounts.roles import Role
from webapp.projects.access import INCLUDED, role_in
from webapp.projects.models import Project


def navigation(request: HttpRequest) -> dict[str, object]:
    """The project in the address, the viewer's projects and what their role may use."""
    match = getattr(request, "resolver_match", None)
    if match is None or not request.user.is_authenticated:
        return {}
    projects = Project.objects.visible_to(request.user)
    here = projects.filter(pk=match.kwargs.get("project_id", 0)).first()
    role = role_in(request.user, here) if here else None
    return {
        "nav_projects": projects,
        "nav_project": here,
        "nav_role": role,
        "is_researcher": role in INCLUDED[Role.RESEARCHER],
        "is_admin": role in INCLUDED[Role.ADMIN],
    }
