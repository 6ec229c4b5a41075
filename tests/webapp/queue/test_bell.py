"""The bell waits for no broker, grows no endless queue, and asks no clock."""

import socket
import time
from datetime import timedelta

import pytest
from celery import current_app
from django.utils import timezone

from tests.factories import a_run
from webapp.queue import bell
from webapp.runs.tasks import send_ring
from webapp.runs.waiting import waiting_reason


@pytest.fixture
def stopped(broker_socket):
    """A broker that takes connections and never answers, as one that was stopped."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(broker_socket))
        listener.listen()
        yield
    broker_socket.unlink()


def test_nobody_waits_for_a_stopped_broker(db, stopped):
    begun = time.monotonic()
    assert not send_ring("runs")
    assert time.monotonic() - begun < 1


def test_what_a_run_says_of_a_silent_bell_outlasts_any_clock(project, stopped, monkeypatch):
    run = a_run(project)
    send_ring(run.queue)
    later = timezone.now() + timedelta(minutes=10)
    monkeypatch.setattr("django.core.cache.backends.db.tz_now", lambda: later)
    assert "the broker is away" in waiting_reason(run)


@pytest.mark.stack
def test_a_ring_never_expires_and_a_queue_that_nobody_empties_is_not_filled(stack, monkeypatch):
    monkeypatch.setattr(bell, "ENOUGH", 3)
    stack.broker()
    for _ in range(5):
        assert send_ring("unheard")
    with current_app.connection_for_read() as connection:
        assert connection.default_channel.queue_declare("unheard").message_count == 3
        message = connection.SimpleQueue("unheard").get_nowait()
    assert message.headers["expires"] is None
