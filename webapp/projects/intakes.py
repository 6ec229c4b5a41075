"""Rows that come in many short transactions, and are there for everybody at once.

SQLite has one writer at a time: a transaction that stored a whole file would keep all others waiting. So the rows
of an intake name it; no page, queue or snapshot sees them until its one row says that it is whole. They keep the
name: to take it from each would be to write them all again. Only labels and tasks lose it, batch by batch, since their
indexes know no other rows.
"""

from typing import TypeVar

from django.db import models
from django.db.models import Func, Q

M = TypeVar("M", bound=models.Model, covariant=True)

COMING = Q(intake__isnull=False)  # of the index by which an intake finds its rows
TABLE, ROW = "datasets_intake", "%(expressions)s"


class IsWhole(Func):
    """Whether a row belongs to no intake, or to one that is whole."""

    template = f"({ROW} IS NULL OR {ROW} IN (SELECT id FROM {TABLE} WHERE whole))"  # noqa: S608 - names of our own
    output_field = models.BooleanField()


class WholeManager(models.Manager[M]):
    """What is there: rows of an intake that is not whole yet are left out; `every` has those too."""

    def get_queryset(self) -> models.QuerySet[M]:
        """All rows that are there."""
        return super().get_queryset().filter(IsWhole("intake"))


class Coming(models.Model):
    """A row that may belong to an intake."""

    # An intake goes last: the database refuses it while a row names it.
    intake = models.ForeignKey(
        "datasets.Intake", models.DO_NOTHING, null=True, related_name="+", db_index=False
    )

    class Meta:
        abstract = True
