"""Sessions: one query says who is signed in, and as what in the project of the address.

The engine of settings.SESSION_ENGINE, and the middleware that goes with it.
"""

from functools import partial
from typing import Any, cast

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

from webapp.accounts.models import Session, User
from webapp.accounts.roles import Role
from webapp.projects.access import Seat
from webapp.projects.models import Project
from webapp.site.columns import all_columns, model_row
from webapp.site.planned import planned_cursor

WHO = f"""
    SELECT session.session_data, member.role, {all_columns(User, "person")}, {all_columns(Project, "project")}
    FROM accounts_session session
    LEFT JOIN accounts_user person ON person.id = session.person_id
    LEFT JOIN projects_membership member ON member.user_id = person.id AND member.project_id = %s
    LEFT JOIN projects_project project ON project.id = member.project_id
    WHERE session.session_key = %s AND session.expire_date > CURRENT_TIMESTAMP
"""  # noqa: S608 - names of columns
PERSON = len(User._meta.concrete_fields)


class SessionStore(DatabaseSessions):
    """A session in the database; once it is loaded, `person` is whom it names."""

    person: User | None = None
    project_id: int | None = None  # of the address, known before the view asks who is there

    @classmethod
    def get_model_class(cls) -> type[Session]:
        """Where sessions are."""
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """The row to store, which names the person too."""
        row = cast("Session", super().create_model_instance(data))
        row.person_id = data.get(auth.SESSION_KEY)
        return row

    def load(self) -> dict[str, Any]:
        """What the session holds; nothing where it is over."""
        with planned_cursor() as cursor:
            cursor.execute(WHO, [self.project_id, self.session_key])
            found = cursor.fetchone()
        if found is None:
            self._session_key = None
            return {}
        data, role, *values = found
        self.person = model_row(User, values[:PERSON])
        self._take_seat(role, model_row(Project, values[PERSON:]))
        return self.decode(data)

    def _take_seat(self, role: str | None, project: Project | None) -> None:
        """What `projects.access` would ask next; a superuser's is another question."""
        if self.person and self.project_id and not self.person.is_superuser:
            seat = Seat(project, Role(role)) if project and role else None
            self.person.seats[self.project_id] = seat


class SignedIn(AuthenticationMiddleware):
    """`request.user` from the row that the session was read with."""

    def process_request(self, request: HttpRequest) -> None:
        """Nothing is asked before somebody wants to know."""
        super().process_request(request)
        request.user = cast("User", SimpleLazyObject(partial(person_of, request)))

    def process_view(
        self, request: HttpRequest, _view: object, _args: object, kwargs: dict[str, object]
    ) -> None:
        """The address is resolved; one of the API holds any text where a project's number would be."""
        number = kwargs.get("project_id")
        read_for(request, number if isinstance(number, int) else None)


def read_for(request: HttpRequest, project_id: int | None) -> None:
    """The session is going to be read for this project."""
    _session_of(request).project_id = project_id


def _session_of(request: HttpRequest) -> SessionStore:
    return cast("SessionStore", request.session)


def person_of(request: HttpRequest) -> User | AnonymousUser:
    """Who is signed in. Only what is plainly right is decided here, all else by Django."""
    session = _session_of(request)
    sealed = session.get(auth.HASH_SESSION_KEY, "")
    person = session.person
    if (
        person is not None
        and person.is_active
        and session.get(auth.SESSION_KEY) == str(person.pk)
        and session.get(auth.BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS
        and constant_time_compare(sealed, person.get_session_auth_hash())
    ):
        return person
    return auth.get_user(request)
