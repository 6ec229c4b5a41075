"""Rows of models from a statement of our own are those of the ORM."""

from django.db import connection

from tests.factories import a_user
from webapp.accounts.models import User
from webapp.site.columns import all_columns, model_row


def read(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()


def test_a_row_is_what_the_orm_reads(db):
    ana = a_user(label_keys={"off": True}, first_name="Ana")
    names = [field.attname for field in User._meta.concrete_fields]
    found = read(
        f"SELECT {all_columns(User, 'who')} FROM accounts_user who WHERE who.id = %s", ana.pk
    )
    row, wanted = model_row(User, found), User.objects.get()
    assert [getattr(row, name) for name in names] == [getattr(wanted, name) for name in names]
    row.first_name = "Anna"
    row.save()
    assert User.objects.get().first_name == "Anna"


def test_an_outer_join_that_finds_none_is_none(db):
    found = read(
        f"SELECT {all_columns(User, 'who')} FROM (SELECT 1) one LEFT JOIN accounts_user who ON 1 = 1"
    )
    assert model_row(User, found) is None
