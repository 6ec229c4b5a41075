"""Who may see what: anything that is not yours does not exist."""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import Http404

from webapp.projects.models import Project, Role

INCLUDED = {role: set(list(Role)[index:]) for index, role in enumerate(Role)}


def project_for(
    user: AbstractBaseUser | AnonymousUser, project_id: int, *, role: Role = Role.ANNOTATOR
) -> Project:
    """The project, if the user has at least this role in it; otherwise it is not found."""
    project = Project.objects.visible_to(user).filter(pk=project_id).first()
    if project is None or role_in(user, project) not in INCLUDED[role]:
        raise Http404
    return project


def role_in(user: AbstractBaseUser | AnonymousUser, project: Project) -> Role | None:
    """The user's role in the project; a superuser is admin everywhere."""
    if user.is_superuser:
        return Role.ADMIN
    membership = project.memberships.filter(user=user).first()
    return Role(membership.role) if membership else None
