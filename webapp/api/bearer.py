"""Who asks: the one place where a program is known by its token, and what it may do in a project."""

from allauth.core.internal import ratelimit  # its public face lets every GET pass
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja.security import HttpBearer

from webapp.accounts.models import User
from webapp.api.errors import LimitError, ScopeError
from webapp.api.models import Token
from webapp.api.scopes import Scope, scope_of
from webapp.api.tokens import find_token, note_use
from webapp.projects.access import Action, project_for
from webapp.projects.archived import must_be_open
from webapp.projects.models import Project

SAFE = ("GET", "HEAD")
WRONG = {"token": "10/m/ip"}  # as often as anybody may fail to sign in


class ApiRequest(HttpRequest):
    """A request whose token works."""

    auth: Token
    user: User


class Bearer(HttpBearer):
    """`Authorization: Bearer …`; cookies say nothing here."""

    def authenticate(self, request: HttpRequest, token: str) -> Token | None:
        """The token, and its person as the request's; raises LimitError where wrong ones came too often."""
        if (found := token_of(request)) is None:
            if not ratelimit.consume(
                request, app="api", action="token", config=WRONG, limit_get=True
            ):
                raise LimitError(_("Too many wrong tokens came from this address: wait a minute."))
            return None
        note_use(found)
        return found


def token_of(request: HttpRequest) -> Token | None:
    """The token that works and that a request came with, whose person is the request's from then on."""
    scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    found: Token | None = vars(request).setdefault("token", None) or find_token(secret.strip())
    if found:
        found.person.by_token = (found.pk, found.name)
        vars(request).update(token=found, user=found.person)
    return found


bearer = Bearer()


def open_project(request: ApiRequest, project_id: int, can: Action) -> Project:
    """The project, if person and token may do this in it; looking at something needs no more than “read”.

    Raises ScopeError where the token is not for it, Http404 where its person may not, and ProjectError where
    something of an archived one is to be changed.
    """
    scope = Scope.READ if request.method in SAFE else scope_of(can)
    if scope not in request.auth.scopes:
        raise ScopeError(scope)
    project = project_for(request.user, project_id, can=can)
    if request.method not in SAFE and can != Action.EXPORT_DATA:
        must_be_open(project)
    return project


def open_all(request: ApiRequest) -> None:
    """Let what is no project's be looked at; raises ScopeError where the token may not even read."""
    if Scope.READ not in request.auth.scopes:
        raise ScopeError(Scope.READ)
