"""What tests of labelling do to rows, and count."""

from datetime import timedelta

from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import again
from webapp.labeling.models import Assignment, Cursor, Task


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


def a_while_later(seconds):
    """Let so much time have passed since all that cursors go by."""
    past = timedelta(seconds=seconds)
    Task.every.filter(opened_at__isnull=False).update(opened_at=F("opened_at") - past)
    Cursor.objects.update(seen=F("seen") - past, begun=F("begun") - past)
