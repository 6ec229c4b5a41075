"""A world of rows, with people of every kind in it, and another one whose rows are nobody's business there."""

import logging

import pytest

from tests.factories import a_user
from tests.webapp.addresses import a_world, session_of
from tests.webapp.foreign import mark
from webapp.accounts.models import User
from webapp.accounts.roles import Role


@pytest.fixture(scope="module")
def there(kept):
    """A world, and another one."""
    world, elsewhere = a_world(kept), a_world(kept)
    mark(elsewhere.project)
    return world, elsewhere


@pytest.fixture
def world(there, on_kept, caplog):
    caplog.set_level(logging.ERROR, "django.request")  # refusals are what is wanted
    return there[0]


@pytest.fixture(scope="module")
def sessions(there):
    """A session of a person of every kind; the stranger is an admin, but elsewhere."""
    world, elsewhere = there
    people = dict(world.people)
    people["stranger"] = elsewhere.people["admin"]
    people["superuser"] = User.objects.create_superuser("root", password="long enough to be one")
    people["deactivated"] = a_user(world.project, Role.ADMIN)
    sessions = {name: session_of(person) for name, person in people.items()}
    User.objects.filter(pk=people["deactivated"].pk).update(is_active=False)
    return sessions | {"anonymous": None}
