"""Rows that a test has committed, taken back."""

from django.apps import apps
from django.core.cache import cache
from django.db import connection, transaction

KEPT = {"django_content_type", "auth_permission"}  # migrations made them, as of every database


def delete_rows(*_: object) -> None:
    """Empty the tables that hold rows; Django's flush empties all, and makes anew what is kept here."""
    names = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} - KEPT
    tables = [connection.ops.quote_name(name) for name in sorted(names)]
    questions = ", ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {questions}")
        for table, holds_rows in zip(tables, cursor.fetchone(), strict=True):
            if holds_rows:
                cursor.execute(f"DELETE FROM {table}")
    cache.clear()  # its table is no model's
