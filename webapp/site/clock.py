"""The database's clock: the one that all programs of an installation share."""

from datetime import timedelta

from django.db.models import DateTimeField
from django.db.models.expressions import Combinable, ExpressionWrapper
from django.db.models.functions import Now


def after(seconds: float) -> Combinable:
    """A time by the database's clock, so that no machine's skew can steal a lease."""
    return ExpressionWrapper(
        Now() + timedelta(seconds=seconds),
        output_field=DateTimeField(),
    )
