"""The daily mail to those who want one: what they were told since the last, in their language."""

import logging
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext as _

from webapp.notifications.models import Notification, Subscription
from webapp.site.clock import after

DIGEST_EVERY = timedelta(days=1)
AGAIN = timedelta(hours=1)  # after a mail that could not be sent
MOST = 50  # sentences

logger = logging.getLogger(__name__)


def send_digests() -> int:
    """Send the mails that are due; how many were sent. Nothing is due where no mail server is named."""
    if not settings.EMAIL_HOST:
        return 0
    due = Subscription.objects.filter(
        digest=True, mailed_at__lt=after(-DIGEST_EVERY.total_seconds())
    )
    due = due.filter(person__is_active=True).exclude(person__email="")
    return sum(_send(choice) for choice in due.select_related("person"))


def _send(choice: Subscription) -> bool:
    """One person's, by whichever tender is the first."""
    mine = Subscription.objects.filter(pk=choice.pk, mailed_at=choice.mailed_at)
    news = Notification.objects.filter(person=choice.person, created_at__gt=choice.mailed_at)
    said = list(news.select_related("project").order_by("-pk")[:MOST])
    if not mine.update(mailed_at=Now()) or not said:
        return False
    try:
        with translation.override(choice.person.language or settings.LANGUAGE_CODE):
            send_mail(_("What is new in Attune"), _text(said), None, [choice.person.email])
    except (SMTPException, OSError) as error:
        logger.warning("A daily mail could not be sent, and is tried again in an hour: %s", error)
        _put_off(Subscription.objects.filter(pk=choice.pk))
        return False
    return True


def _put_off(choice: "QuerySet[Subscription]") -> None:
    choice.update(mailed_at=after((AGAIN - DIGEST_EVERY).total_seconds()))


def _text(news: list[Notification]) -> str:
    lines = [f"{one.project}: {one.sentence}" for one in news]
    end = _("You get this once a day, as you chose under Notifications; there you can change it.")
    return "\n".join([*lines, "", end, ""])
