"""A new file of SQLite gets at once what migrations would have come to."""

import sqlite3
from itertools import accumulate

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests import databases
from webapp.operations import tables
from webapp.operations.tables import bring_tables

pytestmark = pytest.mark.once


@pytest.fixture
def place(django_db_setup, django_db_blocker, tmp_path):
    """A file where there is no database yet."""
    with django_db_blocker.unblock():
        yield str(tmp_path / "new.sqlite3")


def statements(place):
    """What a database is made by, statement by statement."""
    with sqlite3.connect(place) as file:
        found = file.execute("SELECT sql FROM sqlite_master WHERE sql != ''").fetchall()
    return {parts(sql) for (sql,) in found}


def parts(sql):
    """What a statement begins with, and sorted what stands in its brackets: the order of columns is history."""
    begins, bracket, inside = sql.partition("(")
    if not (bracket and "CREATE TABLE" in begins):
        return (sql,)
    depths = accumulate({"(": 1, ")": -1}.get(sign, 0) for sign in inside)
    apart = [
        "\0" if sign == "," and not depth else sign
        for sign, depth in zip(inside, depths, strict=True)
    ]
    return (begins, *sorted(map(str.strip, "".join(apart).removesuffix(")").split("\0"))))


def permissions():
    return set(Permission.objects.values_list("codename", "content_type__app_label", "name"))


def test_it_is_what_the_migrations_make(place, migrated):
    with databases.named(place):
        bring_tables()
        executor = MigrationExecutor(connection)
        assert not executor.migration_plan(executor.loader.graph.leaf_nodes())
        known = permissions()
    assert statements(place) == statements(migrated)
    with databases.named(str(migrated)):
        assert permissions() == known != set()


def test_an_attempt_that_ended_half_way_leaves_nothing_behind(place, monkeypatch):
    create, made = connection.SchemaEditorClass.create_model, []

    def create_some(editor, model):
        if len(made) == 20:
            raise KeyboardInterrupt
        made.append(model)
        create(editor, model)

    monkeypatch.setattr(connection.SchemaEditorClass, "create_model", create_some)
    with databases.named(place):
        with pytest.raises(KeyboardInterrupt):
            bring_tables()
        assert connection.introspection.table_names() == []


def test_one_of_before_is_left_to_the_migrations(place, monkeypatch):
    with sqlite3.connect(place) as file:
        file.execute("CREATE TABLE before (id)")
    asked = []
    monkeypatch.setattr(tables, "call_command", lambda name, **_options: asked.append(name))
    with databases.named(place):
        bring_tables()
        assert connection.introspection.table_names() == ["before"]
    assert asked == ["migrate"]
