"""Who asks, and their role in a project, for answers that need no more of them: two queries, no rows made."""

from collections.abc import Sequence
from importlib import import_module

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from webapp.accounts.models import User
from webapp.accounts.roles import Role

SESSION = "SELECT session_data FROM django_session WHERE session_key = %s AND expire_date > %s"
PERSON = """
    SELECT password, sessions_ended, is_superuser, role FROM accounts_user
    LEFT JOIN projects_membership ON user_id = accounts_user.id AND project_id = %s
    WHERE accounts_user.id = %s AND is_active
"""


def role_at_a_glance(request: HttpRequest, project_id: int) -> Role | None:
    """The role of whoever is signed in; None for a stranger and where a closer look is needed."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    stored = _row(SESSION, key, connection.ops.adapt_datetimefield_value(timezone.now()))
    if stored is None:
        return None
    session = import_module(settings.SESSION_ENGINE).SessionStore().decode(stored[0])
    person = _row(PERSON, project_id, session.get(SESSION_KEY))
    if person is None:
        return None
    password, sessions_ended, is_superuser, role = person
    user = User(password=password, sessions_ended=sessions_ended)
    if not constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    if is_superuser:
        return Role.ADMIN
    return Role(role) if role else None


def _row(query: str, *values: str | int | None) -> Sequence[str] | None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: Sequence[str] | None = cursor.fetchone()
    return found
