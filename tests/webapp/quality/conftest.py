"""People who disagree about a task."""

import pytest

from tests.factories import a_label, a_user, some_tasks
from webapp.accounts.roles import Role


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


@pytest.fixture
def ana(project):
    return a_user(project, Role.ANNOTATOR, username="ana")


@pytest.fixture
def ben(project):
    return a_user(project, Role.ANNOTATOR, username="ben")


@pytest.fixture
def disputed(project, ana, ben):
    """A task of which both say that what they saw first is better: they saw other sides."""
    (task,) = some_tasks(project, need=3, texts=("Short.", "Longer."))
    for person in (ana, ben):
        a_label(task, 2, annotator=person)
    return task
