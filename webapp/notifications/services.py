"""Telling people, and what they have read of it."""

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from webapp.accounts.models import User
from webapp.notifications.models import Notification, Occasion, Subscription

KEPT = timedelta(days=90)
LONGEST = 200  # characters of what happened


class News(NamedTuple):
    """Something that happened in a project."""

    project_id: int
    kind: Occasion
    what: str
    url: str
    outcome: str = ""


@transaction.atomic
def notify(people: Iterable[int | None], news: News) -> None:
    """Tell these people, but for those who do not want to hear of such things."""
    told = {person for person in people if person is not None}
    muted = Subscription.objects.filter(person__in=told).values_list("person", "muted")
    told -= {person for person, kinds in muted if news.kind in kinds}
    if not told:
        return
    short = news._replace(what=news.what[:LONGEST])._asdict()
    Notification.objects.bulk_create(Notification(person_id=one, **short) for one in sorted(told))
    rows = User.objects.filter(pk__in=told).order_by("pk")
    list(rows.select_for_update(no_key=True).values_list("pk"))  # all lock in this order
    rows.order_by().update(unread=F("unread") + 1)


@transaction.atomic
def mark_read(person: User) -> None:
    """All that somebody was told they have read."""
    User.objects.filter(pk=person.pk).update(unread=0)
    Notification.objects.filter(person=person, unread=True).update(unread=False)


def forget_notifications() -> int:
    """Drop what people were told long ago; how much."""
    return Notification.objects.filter(created_at__lt=Now() - KEPT).delete()[0]


def choose_news(person: User, *, muted: Iterable[str], digest: bool, email: str) -> None:
    """Keep what somebody does not want to hear of, and where a daily mail goes."""
    columns = {"muted": list(muted), "digest": digest}
    Subscription.objects.update_or_create(person=person, defaults=columns)
    User.objects.filter(pk=person.pk).update(email=email)
