"""Who may do what: one table of actions; anything that is not yours does not exist."""

from enum import StrEnum

from django.http import Http404

from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.projects.models import Project

INCLUDED = {role: set(list(Role)[index:]) for index, role in enumerate(Role)}


class Action(StrEnum):
    """Something a page or a button does in a project."""

    SEE_PROJECT = "see the project"
    LABEL = "label"
    WRITE_PROMPTS = "see and write prompts"
    SEE_DATA = "see tasks, labels and snapshots"
    FREEZE = "freeze snapshots"
    SEE_MODELS = "see models"
    ADD_MODELS = "add models"
    SEE_ROUNDS = "see rounds"
    START_ROUNDS = "start, cancel and retry rounds"
    SEE_RUNS = "see runs"
    START_RUNS = "start, pause, cancel and retry runs"
    EDIT_GUIDELINES = "edit the guidelines"
    MANAGE_MEMBERS = "manage members"
    UPLOAD_MODELS = "upload models"
    IMPORT_DATA = "import data"
    EXPORT_DATA = "export data"


# The least role of each action; the tests of permissions are generated from this table.
LEAST = {
    Action.SEE_PROJECT: Role.ANNOTATOR,
    Action.LABEL: Role.ANNOTATOR,
    Action.WRITE_PROMPTS: Role.ANNOTATOR,
    Action.SEE_DATA: Role.RESEARCHER,
    Action.FREEZE: Role.RESEARCHER,
    Action.SEE_MODELS: Role.RESEARCHER,
    Action.ADD_MODELS: Role.RESEARCHER,
    Action.SEE_ROUNDS: Role.RESEARCHER,
    Action.START_ROUNDS: Role.RESEARCHER,
    Action.SEE_RUNS: Role.RESEARCHER,
    Action.START_RUNS: Role.RESEARCHER,
    Action.EDIT_GUIDELINES: Role.ADMIN,
    Action.MANAGE_MEMBERS: Role.ADMIN,
    Action.UPLOAD_MODELS: Role.ADMIN,
    Action.IMPORT_DATA: Role.ADMIN,
    Action.EXPORT_DATA: Role.ADMIN,
}


def project_for(user: User, project_id: int, *, can: Action) -> Project:
    """The project, if the user may do this in it; otherwise it is not found."""
    project = Project.objects.visible_to(user).filter(pk=project_id).first()
    if project is None or not may(role_in(user, project), can):
        raise Http404
    return project


def may(role: Role | None, action: Action) -> bool:
    """Whether somebody with this role may do it."""
    return role in INCLUDED[LEAST[action]]


def role_in(user: User, project: Project) -> Role | None:
    """The user's role in the project; a superuser is admin everywhere."""
    if user.is_superuser:
        return Role.ADMIN
    membership = project.memberships.filter(user=user).first()
    return Role(membership.role) if membership else None
