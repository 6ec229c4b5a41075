"""Workers as Celery starts them."""

import os

import pytest
from celery.signals import celeryd_init

from tests.forks import Fork
from webapp.celery import app


@pytest.mark.parametrize(
    ("queue", "after"), [("short", True), ("runs", False), ("live", False), (None, False)]
)
def test_a_worker_of_short_work_goes_after_whoever_answers_people(queue, after, monkeypatch):
    monkeypatch.setenv("ATTUNE_NICE", "19")

    def starts():
        before = os.nice(0)
        options = {"queues": queue and [queue]}
        celeryd_init.send(sender="worker", instance=None, conf=app.conf, options=options)
        assert os.nice(0) == (19 if after else before)

    assert Fork(starts).wait() == 0
