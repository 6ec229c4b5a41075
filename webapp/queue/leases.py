"""Rows of work that a worker takes for a lease, by the database's clock; jobs and runs are such.

The row is the truth, a message only says that it is there. Each taking raises the row's fence, and all
that a worker writes is fenced by it: who lost the row writes nothing about it any more.
"""

from typing import ClassVar, Self, TypeVar

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from webapp.site.clock import after

SILENT = Q(lease_until__lt=Now())  # its worker let the lease run out
SOONEST = 0.9  # of the time between two rings: tenders keep it only about

L = TypeVar("L", bound="Leased")


class LostLease(Exception):
    """Another worker has the work, or may have, or nobody shall: nothing more may be written about it."""


class LeasedQuerySet(models.QuerySet[L]):
    """Work by who has it, and its changes of hands."""

    def live(self) -> Self:
        """What a worker has or should have."""
        return self.filter(state__in=self.model.LIVE_STATES)

    def silent(self) -> Self:
        """What has a worker that let its lease run out."""
        return self.live().filter(SILENT)

    def untired(self) -> Self:
        """What was not lost too often to be tried once more."""
        return self.filter(attempts__lt=F("max_attempts"))

    def mine(self, row: L) -> Self:
        """This row for as long as whoever took it then has it."""
        fence = {self.model.FENCE: getattr(row, self.model.FENCE)}
        return self.live().filter(pk=row.pk, **fence)

    @transaction.atomic
    def take(self, pk: int, **columns: object) -> L | None:
        """One of these for whoever asks first, with a lease; None for all others."""
        tried = {"attempts": F("attempts") + 1, "started_at": Coalesce("started_at", Now())}
        free = self.filter(pk=pk).order_by()
        if not free.update(message="", lease_until=self.model.lease_end(), **tried, **columns):
            return None
        return self.model._default_manager.get(pk=pk)

    def renew(self, row: L, **columns: object) -> None:
        """Write about a row under its lease, for another lease; raises LostLease."""
        if not self.mine(row).update(lease_until=self.model.lease_end(), **columns):
            raise LostLease(row.pk)

    def ring_due(self) -> bool:
        """Whether somebody should ring for these now: several tenders share the bell by its last use."""
        quiet = Q(rung_at__isnull=True) | Q(rung_at__lt=after(-SOONEST * settings.RUN_RING))
        return bool(self.filter(quiet).update(rung_at=Now()))


class Leased(models.Model):
    """What such a row has; it says its states, its fence and the setting of its lease."""

    LIVE_STATES: ClassVar[tuple[str, ...]]
    FINAL_STATES: ClassVar[tuple[str, ...]]
    FENCE: ClassVar[str] = "attempts"
    LEASE: ClassVar[str]

    state: "models.CharField[str, str]"
    message = models.TextField(blank=True)  # a sentence for people: what happened, what to try
    attempts = models.IntegerField(default=0)
    max_attempts = models.IntegerField(default=3)
    lease_until = models.DateTimeField(null=True, blank=True)
    rung_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @classmethod
    def lease_end(cls) -> Combinable:
        """Until when such a row is its worker's if it renews now."""
        return after(getattr(settings, cls.LEASE))

    @property
    def is_live(self) -> bool:
        """Whether a worker has it."""
        return self.state in self.LIVE_STATES

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in self.FINAL_STATES
