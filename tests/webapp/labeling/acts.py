"""What tests of labelling do to rows, and count."""

from datetime import timedelta

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import again
from webapp.labeling.models import Assignment


def overdue(assignment):
    """Let a lease run out."""
    past = timezone.now() - timedelta(seconds=1)
    Assignment.objects.filter(pk=assignment.pk).update(lease_until=past)
    return again(assignment)


def queries_of(act):
    """How many queries something takes."""
    with CaptureQueriesContext(connection) as caught:
        act()
    return len(caught)
