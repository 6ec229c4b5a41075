"""The daily mail."""

import socketserver
import threading

import pytest
from django.core import mail

from tests.factories import again
from webapp.notifications.mails import send_digests
from webapp.notifications.models import Occasion, Subscription
from webapp.notifications.services import News, choose_news, notify
from webapp.site.clock import after

pytestmark = pytest.mark.once

DAY = 86400


@pytest.fixture
def rita(project, researcher, settings):
    """She wants a mail, had one more than a day ago, and was told something since."""
    settings.EMAIL_HOST = "mail.example"
    choose_news(researcher, muted=[], digest=True, email="rita@example.org")
    Subscription.objects.update(mailed_at=after(-DAY - 60))
    notify([researcher.pk], News(project.pk, Occasion.RUN, "Tiny", "/", "succeeded"))
    return again(researcher)


@pytest.mark.twice
def test_a_mail_says_what_is_new_once(rita, project):
    assert send_digests() == 1
    assert send_digests() == 0
    (sent,) = mail.outbox
    assert sent.to == ["rita@example.org"]
    assert f"{project}: The run “Tiny” has succeeded." in sent.body


@pytest.mark.parametrize(
    "columns",
    [{"digest": False}, {"mailed_at": after(-60)}],
    ids=["not wanted", "too early"],
)
def test_nobody_is_mailed_who_does_not_want_it_or_just_was(rita, columns):
    Subscription.objects.update(**columns)
    assert send_digests() == 0
    assert not mail.outbox


def test_nothing_new_is_no_mail_and_no_server_sends_none(rita, settings):
    rita.notifications.all().delete()
    assert send_digests() == 0
    settings.EMAIL_HOST = ""
    Subscription.objects.update(mailed_at=after(-DAY - 60))
    assert send_digests() == 0
    assert not mail.outbox


def test_a_mail_is_in_the_language_of_its_reader(rita):
    type(rita).objects.filter(pk=rita.pk).update(language="zh-hans")
    assert send_digests() == 1
    assert mail.outbox[0].subject  # its words are the catalogue's


class Refusing(socketserver.BaseRequestHandler):
    """A mail server that takes nothing."""

    def handle(self):
        self.request.sendall(b"421 not now\r\n")


def test_a_server_that_refuses_is_asked_again_in_an_hour(rita, settings):
    with socketserver.TCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        assert send_digests() == 0
        server.shutdown()
    assert send_digests() == 0
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    Subscription.objects.update(mailed_at=after(-DAY - 1))
    notify([rita.pk], News(rita.notifications.get().project_id, Occasion.WISH, "more", "/"))
    assert send_digests() == 1
