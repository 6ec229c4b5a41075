"""Programs with tokens."""

import pytest

from tests.factories import a_user
from tests.webapp.api.programs import Program
from webapp.accounts.roles import Role
from webapp.api.scopes import Scope
from webapp.api.tokens import make_token


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN)


@pytest.fixture
def program(admin):
    """A program of an admin, whose token is for everything."""
    return Program(make_token(admin, name="all", scopes=list(Scope)), admin)
