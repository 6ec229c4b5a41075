"""Who only looks writes nothing: reading waits for nobody who holds the database."""

import logging
import re

import pytest
from django.db import connection

from tests.webapp.addresses import a_world, addresses, client_with, session_of
from webapp.accounts.models import User

NOTHING_WRITTEN = (
    "SHOW",
    "SELECT",
    "WITH RECURSIVE",
    "SAVEPOINT",
    "RELEASE SAVEPOINT",
    "ROLLBACK TO SAVEPOINT",
)
TABLE = re.compile(r'^(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')


@pytest.fixture(scope="module")
def there(kept):
    return a_world(kept)


@pytest.fixture
def world(there, on_kept, caplog):
    caplog.set_level(logging.CRITICAL, "django")
    return there


@pytest.fixture
def session(world):
    return session_of(User.objects.create_superuser("root", password="long enough"))


def writes_of(client, path):
    """What a GET says to the database that is no question."""
    found = []

    def note(execute, sql, params, many, context):
        if not sql.lstrip("(\n ").startswith(NOTHING_WRITTEN):
            found.append(sql[:120])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        client.get(path)
    return found


def test_who_only_looks_writes_nothing_but_what_can_wait(world, session):
    """Leases and renderings: both are made by the next who looks, where another program writes now."""
    found = {
        (address.name, table)
        for address in addresses()
        for statement in writes_of(client_with(session), world.path(address))
        for table in TABLE.findall(statement) or [statement]
    }
    assert {table for _, table in found} <= {
        "labeling_task",
        "labeling_assignment",
        "rendering_rendering",
    }
    assert {name for name, table in found if table.startswith("labeling_")} == {"labeling:label"}
