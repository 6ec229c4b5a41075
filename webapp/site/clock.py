"""The database's clock: the one that all programs of an installation share."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import DateTimeField
from django.db.models.expressions import Combinable, ExpressionWrapper
from django.db.models.functions import Now, TruncDay

NONE = timedelta()


def after(seconds: float) -> Combinable:
    """A time by the database's clock, so that no machine's skew can steal a lease."""
    return ExpressionWrapper(
        Now() + timedelta(seconds=seconds),
        output_field=DateTimeField(),
    )


def midnight(zone: str) -> Combinable:
    """When the day began that it is in a time zone; "" is UTC.

    How far a zone is from UTC is looked up by this machine's clock: it changes twice a year at most.
    """
    if not zone:
        return TruncDay(Now())
    here = datetime.now(ZoneInfo(zone))
    began = here.replace(hour=0, minute=0, second=0, microsecond=0)
    local = TruncDay(after((here.utcoffset() or NONE).total_seconds()))
    return ExpressionWrapper(local - (began.utcoffset() or NONE), output_field=DateTimeField())
