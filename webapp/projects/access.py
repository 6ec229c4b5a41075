"""Who may do what: one table of actions; anything that is not yours does not exist."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

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
    MANAGE_PROMPTS = "tag and retire prompts, and say what is wanted"
    SEE_DATA = "see tasks, labels and snapshots"
    CHECK_LABELS = "measure the quality of labels and settle disagreements"
    MAKE_TASKS = "make tasks"
    FREEZE = "freeze snapshots"
    SEE_MODELS = "see models"
    ADD_MODELS = "add models"
    SEE_ROUNDS = "see rounds"
    START_ROUNDS = "start, cancel and retry rounds"
    SEE_RUNS = "see runs"
    START_RUNS = "start, pause, cancel and retry runs"
    EDIT_GUIDELINES = "edit the guidelines"
    COMPOSE_FORM = "compose how tasks are asked"
    MANAGE_MEMBERS = "manage members"
    UPLOAD_MODELS = "upload models"
    ADD_CODE = "add rewards from code"
    IMPORT_DATA = "import data"
    EXPORT_DATA = "export data"
    MANAGE_PROJECT = "archive and delete the project"
    SEE_AUDIT = "see the audit log"
    MANAGE_WEBHOOKS = "manage webhooks"


# The least role of each action; the tests of permissions are generated from this table.
LEAST = {
    Action.SEE_PROJECT: Role.ANNOTATOR,
    Action.LABEL: Role.ANNOTATOR,
    Action.WRITE_PROMPTS: Role.ANNOTATOR,
    Action.MANAGE_PROMPTS: Role.RESEARCHER,
    Action.SEE_DATA: Role.RESEARCHER,
    Action.CHECK_LABELS: Role.RESEARCHER,
    Action.MAKE_TASKS: Role.RESEARCHER,
    Action.FREEZE: Role.RESEARCHER,
    Action.SEE_MODELS: Role.RESEARCHER,
    Action.ADD_MODELS: Role.RESEARCHER,
    Action.SEE_ROUNDS: Role.RESEARCHER,
    Action.START_ROUNDS: Role.RESEARCHER,
    Action.SEE_RUNS: Role.RESEARCHER,
    Action.START_RUNS: Role.RESEARCHER,
    Action.EDIT_GUIDELINES: Role.ADMIN,
    Action.COMPOSE_FORM: Role.RESEARCHER,
    Action.MANAGE_MEMBERS: Role.ADMIN,
    Action.UPLOAD_MODELS: Role.ADMIN,
    Action.ADD_CODE: Role.ADMIN,
    Action.IMPORT_DATA: Role.ADMIN,
    Action.EXPORT_DATA: Role.ADMIN,
    Action.MANAGE_PROJECT: Role.ADMIN,
    Action.SEE_AUDIT: Role.ADMIN,
    Action.MANAGE_WEBHOOKS: Role.ADMIN,
}


class Seat(NamedTuple):
    """A project, and as what somebody is in it."""

    project: Project
    role: Role


def project_for(user: User, project_id: int, *, can: Action) -> Project:
    """The project, if the user may do this in it; otherwise it is not found."""
    seat = seat_in(user, project_id)
    if seat is None or not may(seat.role, can):
        raise Http404
    return seat.project


def may(role: Role | None, action: Action) -> bool:
    """Whether somebody with this role may do it."""
    return role in INCLUDED[LEAST[action]]


def role_in(user: User, project: Project) -> Role | None:
    """The user's role in the project; a superuser is admin everywhere."""
    seat = seat_in(user, project.pk)
    return seat.role if seat else None


def seat_in(user: User, project_id: int) -> Seat | None:
    """Where the user is in the project, read once for a request; a superuser is admin everywhere."""
    seats: dict[int, Seat | None] = user.seats
    if project_id not in seats:
        seats[project_id] = _read_seat(user, project_id)
    return seats[project_id]


def know_seats(user: User, projects: Iterable[Project]) -> None:
    """Read at once where the user is in each of these, for this request."""
    by_key = {project.pk: project for project in projects}
    own = dict(user.memberships.filter(project__in=by_key).values_list("project", "role"))
    for key, project in by_key.items():
        role = Role.ADMIN if user.is_superuser else own.get(key)
        user.seats[key] = Seat(project, Role(role)) if role else None


def _read_seat(user: User, project_id: int) -> Seat | None:
    if user.is_superuser:
        project = Project.objects.lasting().filter(pk=project_id).first()
        return Seat(project, Role.ADMIN) if project else None
    own = user.memberships.select_related("project").filter(project=project_id)
    return next((Seat(each.project, Role(each.role)) for each in own), None)
