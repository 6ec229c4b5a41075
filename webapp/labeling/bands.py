"""Bands of the queue: urgent tasks are handed out before all others, later ones after them, each band in its own order.

A band is a stretch of priorities, so that who takes the next task looks at nothing besides.
"""

from django.db.models import Case, F, Q, TextChoices, When
from django.db.models.expressions import Combinable
from django.utils.translation import gettext_lazy as _

WIDTH = 1000  # priorities of a band
USUAL = 100  # that of a task in its band; smaller goes first


class Band(TextChoices):
    """When a task has its turn."""

    URGENT = "urgent", _("Urgent")
    NORMAL = "normal", _("Normal")
    LATER = "later", _("Later")

    @property
    def first(self) -> int:
        """The first of its priorities."""
        return (list(Band).index(self) - 1) * WIDTH

    @property
    def holds(self) -> Q:
        """The tasks in it: the outer bands have no other end."""
        above = Q() if self == Band.URGENT else Q(priority__gte=self.first)
        return above if self == Band.LATER else above & Q(priority__lt=self.first + WIDTH)

    def moved(self) -> Combinable:
        """The priority of a task that comes into this band, at the place that it had in its own."""
        each = (When(one.holds, then=F("priority") - one.first) for one in Band)
        return Case(*each) + self.first


def priority_in(band: Band) -> int:
    """That of a task which is made for this band."""
    return band.first + USUAL


def band_of(priority: int) -> Band:
    """In which band a priority is."""
    if priority < 0:
        return Band.URGENT
    return Band.LATER if priority >= WIDTH else Band.NORMAL
