"""Who only looks writes nothing: reading waits for nobody who holds the database."""

import logging
import re

import pytest
from django.db import connection
from django.urls import reverse

from tests.factories import some_tasks
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
CAN_WAIT = {"labeling_task", "labeling_assignment", "rendering_rendering"}
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


def test_a_look_at_a_page_writes_nothing_but_its_leases(client, project, researcher):
    """The page that leases cards, and one that only shows; what no page writes is tried below."""
    some_tasks(project)
    client.force_login(researcher)
    label, shown = (
        reverse("labeling:label", args=[project.pk]),
        reverse("prompts", args=[project.pk]),
    )
    found = {path: {*tables_of(client, path)} for path in (label, shown)}
    assert {"labeling_task", "labeling_assignment"} <= found[label]
    assert found[label] <= CAN_WAIT | {"labeling_cursor"}  # of who has never labelled here
    assert found[shown] <= {"rendering_rendering"}


def tables_of(client, path):
    """The tables that a look writes to, and whole statements that name none."""
    for statement in writes_of(client, path):
        yield from TABLE.findall(statement) or [statement]


@pytest.mark.slow
def test_who_only_looks_writes_nothing_but_what_can_wait(world, session):
    """Leases and renderings: both are made by the next who looks, where another program writes now."""
    found = {
        (address.name, table)
        for address in addresses()
        for table in tables_of(client_with(session), world.path(address))
    }
    assert {table for _, table in found} <= CAN_WAIT
    assert {name for name, table in found if table.startswith("labeling_")} == {"labeling:label"}
