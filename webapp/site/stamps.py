"""Stamps of rows: a word that is another one when something about them has changed, by one cheap query.

A page that asks again says which stamp it has seen; while that is still the one, nothing is drawn or sent.
A stamp is read before what it stands for: what changes in between is only drawn once more.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import cache
from hashlib import blake2b
from time import time
from typing import Any, TypeVar

from django.db.models import JSONField, Model

from webapp.site.planned import planned_cursor

SEEN = "Seen"  # the header that says which stamp that was
MOST = 500  # things made that a process keeps
Made = TypeVar("Made")
_made: dict[Hashable, Any] = {}


@cache
def columns_of(model: type[Model], *only: str) -> str:
    """All columns but documents, or those of these fields, as SQL: a document is written along with something else."""
    fields = [one for one in model._meta.concrete_fields if not isinstance(one, JSONField)]
    shown = [field for field in fields if not only or field.name in only]
    return ", ".join(f"{model._meta.db_table}.{field.column}" for field in shown)


def rows_seen(
    model: type[Model],
    where: str,
    *values: int,
    only: Sequence[str] = (),
    beside: Sequence[str] = (),
) -> list[tuple[object, ...]]:
    """A model's rows by the rest of a query, as `columns_of` has them; with each what else is told `beside` it."""
    table, columns = model._meta.db_table, ", ".join((columns_of(model, *only), *beside))
    with planned_cursor() as cursor:
        # Columns, table and query are the code's own.
        cursor.execute(f"SELECT {columns} FROM {table} {where}", values)  # noqa: S608
        found: list[tuple[object, ...]] = cursor.fetchall()
    return found


def stamp_of(rows: Sequence[tuple[object, ...]], *, every: int) -> str:
    """The word for these rows, none where there are none; another one every so many seconds, for what changes beside them."""
    told = f"{rows} {time() // every}"
    return blake2b(told.encode(), digest_size=9).hexdigest() if rows else ""


def once(
    key: Hashable, make: Callable[[], Made], *, keep: Callable[[Made], bool] = lambda _made: True
) -> Made:
    """What is made under a key that has a stamp in it: made once for all who see the same, where it may be kept."""
    if (found := _made.get(key)) is not None:
        kept: Made = found
        return kept
    made = make()
    if keep(made):
        if len(_made) >= MOST:
            _made.clear()
        _made[key] = made
    return made
