"""Annotators of one project."""

import pytest

from tests.factories import a_user
from webapp.accounts.roles import Role


@pytest.fixture
def ana(project):
    return a_user(project, role=Role.ANNOTATOR, username="ana")


@pytest.fixture
def ben(project):
    return a_user(project, role=Role.ANNOTATOR, username="ben")
