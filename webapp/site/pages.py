"""Pages of long lists, each told by the row beside it: one deep within costs what the first does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, F, IntegerField, Model, OuterRef, QuerySet, Subquery
from django.db.models.fields.tuple_lookups import (
    Tuple,
    TupleGreaterThan,
    TupleLessThan,
)
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan, LessThan
from django.db.models.sql.compiler import SQLCompiler
from django.http import QueryDict

from webapp.site.htmx import is_key

ROWS = 50  # of a page
COUNTED = 10_000  # counting stops here: nobody needs an exact number beyond
TURNS = ("after", "before", "page")  # what addresses say, or once said, of the page
One = TypeVar("One")
Row = TypeVar("Row", bound=Model)


class Earlier(TupleLessThan):
    """Whether a row comes before another in some of its columns."""

    def get_fallback_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str | int, ...]]:
        """Compared as wholes, in which an index finds the place; Django spells it out for SQLite."""
        return LessThan.as_sql(self, compiler, connection)


class Later(TupleGreaterThan):
    """Whether a row comes after another in some of its columns."""

    def get_fallback_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str | int, ...]]:
        """Compared as wholes, too."""
        return GreaterThan.as_sql(self, compiler, connection)


@dataclass(frozen=True)
class Page(Sequence[One]):
    """Some rows of a list, and beside what the pages before and after them are."""

    rows: Sequence[One]
    before: int | None  # None: these are the first
    after: int | None  # None: these are the last
    kept: str  # of the address, for the other pages

    @overload
    def __getitem__(self, place: int) -> One: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[One]: ...

    def __getitem__(self, place: int | slice) -> One | Sequence[One]:
        return self.rows[place]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_all(self) -> bool:
        """Whether there is no other page."""
        return self.before is None and self.after is None


def page_of(rows: QuerySet[Row], query: QueryDict, *order: str) -> Page[Row]:
    """The rows after or before the one that the address names, or the first where it names none.

    All columns of the order run one way, no two rows have the same, and an index has them.
    """
    kept = kept_query(query)
    if later := _beside(rows, query.get("after", ""), order):
        return Page(later[:ROWS], later[0].pk, _next(later), kept)
    earlier = _beside(rows, query.get("before", ""), tuple(map(_turned, order)))
    if len(earlier) > ROWS:
        shown = earlier[ROWS - 1 :: -1]
        return Page(shown, shown[0].pk, shown[-1].pk, kept)
    first = list(rows.order_by(*order)[: ROWS + 1])
    return Page(first[:ROWS], None, _next(first), kept)


def _beside(rows: QuerySet[Row], mark: str, order: tuple[str, ...]) -> list[Row]:
    """The next rows beyond one; a row that is gone has none."""
    if not is_key(mark):
        return []
    columns = [column.removeprefix("-") for column in order]
    beyond = Earlier if order[0].startswith("-") else Later
    # The database compares what it has itself: SQLite's times would not be equal to Python's.
    row = rows.model._default_manager.filter(pk=mark).order_by()
    # A function's result has no type of its own in SQLite: else it would not look into the index.
    there = tuple(Coalesce(Subquery(row.values(column)), None) for column in columns)
    found = rows.filter(beyond(Tuple(*map(F, columns)), there))
    return list(found.order_by(*order)[: ROWS + 1])


def _turned(column: str) -> str:
    """The column the other way round."""
    return column[1:] if column.startswith("-") else f"-{column}"


def _next(found: Sequence[Row]) -> int | None:
    """Beside which row the next page is, if more was found than a page has."""
    return found[ROWS - 1].pk if len(found) > ROWS else None


def page_of_list(items: Sequence[One], query: QueryDict, size: int) -> Page[One]:
    """The same of a list that is at hand: it is told by places."""
    mark = query.get("after", "")
    start = int(mark) if is_key(mark) and int(mark) < len(items) else 0
    mark = query.get("before", "")
    start = max(0, int(mark) - size) if is_key(mark) and int(mark) <= len(items) else start
    after = start + size
    return Page(
        items[start:after],
        start or None,
        after if after < len(items) else None,
        kept_query(query),
    )


def kept_query(query: QueryDict) -> str:
    """What the addresses of other pages keep of this one's."""
    kept = query.copy()
    for turn in TURNS:
        kept.pop(turn, None)
    return f"{kept.urlencode()}&" if kept else ""


def count_up_to(rows: QuerySet[Row], most: int = COUNTED) -> int:
    """How many rows there are; one more than the most stands for all beyond."""
    return rows.order_by().values("pk")[: most + 1].count()


class _Counted(Subquery):
    """The number of rows that a subquery has; no more of them are read than it asks for."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"


def number_up_to(rows: QuerySet[Row], column: str, most: int) -> Subquery:
    """The number of rows that point at the outer row by this column, counted as `count_up_to` counts.

    They are in the order of an index that has the column before it: to PostgreSQL a row that few point at is
    like one that most do, and it would look for those few through the whole table.
    """
    pointing = rows.filter(**{column: OuterRef("pk")}).values("pk")
    return _Counted(pointing[: most + 1], output_field=IntegerField())


def in_figures(n: int, most: int = COUNTED) -> str:
    """A number that was counted so, in digits."""
    return f"{most:,}+" if n > most else f"{n:,}"


def number_of(rows: QuerySet[Row], column: str) -> Coalesce:
    """The number of rows that point at the outer row by this column, as a part of its query."""
    grouped = rows.filter(**{column: OuterRef("pk")}).order_by().values(column)
    each = grouped.annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(each, output_field=IntegerField()), 0)
