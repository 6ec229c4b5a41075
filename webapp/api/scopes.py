"""What a token may be used for, beside what its person may do in a project."""

from collections.abc import Iterable

from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.projects.access import Action, may


class Scope(models.TextChoices):
    """A group of actions; nothing but reading is included in another."""

    READ = "read", _("read: look at what its person may see")
    LABEL = "label", _("label: take tasks and answer them")
    DATA = "data", _("data: add prompts, import, freeze, export")
    TRAIN = "train", _("train: start and stop runs and rounds")
    ADMIN = "admin", _("admin: guidelines and members")


# The scope that changes something by an action; an action without a row asks for the widest.
SCOPES = {
    Action.SEE_PROJECT: Scope.READ,
    Action.SEE_DATA: Scope.READ,
    Action.SEE_MODELS: Scope.READ,
    Action.SEE_ROUNDS: Scope.READ,
    Action.SEE_RUNS: Scope.READ,
    Action.LABEL: Scope.LABEL,
    Action.WRITE_PROMPTS: Scope.DATA,
    Action.CHECK_LABELS: Scope.DATA,
    Action.MAKE_TASKS: Scope.DATA,
    Action.MANAGE_PROMPTS: Scope.DATA,
    Action.COMPOSE_FORM: Scope.DATA,
    Action.FREEZE: Scope.DATA,
    Action.IMPORT_DATA: Scope.DATA,
    Action.EXPORT_DATA: Scope.DATA,
    Action.START_RUNS: Scope.TRAIN,
    Action.START_ROUNDS: Scope.TRAIN,
    Action.ADD_MODELS: Scope.TRAIN,
    Action.UPLOAD_MODELS: Scope.TRAIN,
}


def scope_of(action: Action) -> Scope:
    """What a token must be for to change something by this action."""
    return SCOPES.get(action, Scope.ADMIN)


def scopes_for(person: User) -> list[Scope]:
    """What a token of this person can be for: a scope with an action that they may do in some project."""
    if person.is_superuser:
        return list(Scope)
    roles = [Role(role) for role in person.memberships.values_list("role", flat=True)]
    return [scope for scope in Scope if scope == Scope.READ or _may_any(roles, scope)]


def _may_any(roles: Iterable[Role], scope: Scope) -> bool:
    actions = [action for action in Action if scope_of(action) == scope]
    return any(may(role, action) for role in roles for action in actions)
