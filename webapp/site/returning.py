"""One statement that changes rows and says which: Django's `update` only counts them."""

from typing import Any, cast

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet
from django.db.models.sql import UpdateQuery


def update_returning(rows: QuerySet[Any], columns: str, **values: object) -> list[tuple[Any, ...]]:
    """Change these rows; for each of them the columns as they are then, in the database's own types."""
    query = cast("UpdateQuery", rows.query.chain(UpdateQuery))
    query.clear_ordering(force=True)
    query.add_update_values(values)
    try:
        statement, parameters = query.get_compiler(rows.db).as_sql()
    except EmptyResultSet:
        return []
    with connections[rows.db].cursor() as cursor:
        cursor.execute(f"{statement} RETURNING {columns}", parameters)
        return list(cursor.fetchall())
