"""Statements that PostgreSQL plans once for a connection."""

import pytest
from django.db import connection

from tests.factories import a_user
from webapp.machine.database import NEVER_BY_ITSELF
from webapp.site.planned import planned_cursor

pytestmark = pytest.mark.django_db
NAMED = "SELECT username FROM accounts_user WHERE id = %s"
KEPT = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT username FROM%%'"


def asked(statement, *values):
    with planned_cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


def test_it_answers_as_any_cursor_and_is_counted_as_one(django_assert_num_queries):
    people = [a_user() for _ in range(3)]
    with django_assert_num_queries(3):
        assert [asked(NAMED, one.pk) for one in people] == [one.username for one in people]


def test_its_statements_are_kept_where_a_connection_keeps_any():
    if connection.vendor == "sqlite":
        with planned_cursor() as plain, connection.cursor() as other:
            assert type(plain) is type(other)
        return
    person, given = a_user(), connection.connection
    with connection.cursor() as cursor:
        asked(NAMED, person.pk)
        cursor.execute(KEPT)
        assert cursor.fetchone()[0] == 0
        given.prepare_threshold = NEVER_BY_ITSELF
        try:
            asked(NAMED, person.pk)
            asked(NAMED, person.pk)
            cursor.execute(NAMED, [person.pk])
            cursor.execute(KEPT)
            assert cursor.fetchone()[0] == 1
        finally:
            given.prepare_threshold = None
