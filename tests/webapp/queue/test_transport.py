"""Whatever lies in a queue, its worker goes on with what comes behind it."""

import json

import pytest

from tests.factories import a_project, again
from webapp.celery import app
from webapp.jobs.models import Job, State
from webapp.jobs.tasks import send_work, work

pytestmark = [pytest.mark.stack, pytest.mark.once]
REMOVED = object()
TEXTS = [
    b"", b"garbage", b"\xff\xfe", b"null", b"1", b'"text"', b"[]", b"{}", b"NaN", b"[" * 5000,
    b'{"body": ', b"\x80\x04\x95", b'{"properties": {}}', b'{"properties": 1}',
]  # fmt: skip
CHANGES = [
    (place, value)
    for place in (
        "body", "headers", "properties", "content-type", "content-encoding", "headers.task", "headers.id",
        "headers.eta", "headers.expires", "headers.timelimit", "headers.retries", "properties.delivery_tag",
        "properties.delivery_info", "properties.body_encoding", "headers.compression", "headers.argsrepr",
    )
    for value in (REMOVED, None, 7, -1, "nonsense", [], {"a": [1]}, ["x", "y"], 10**400, "é\x00")
]  # fmt: skip


@pytest.fixture
def machine(shared):
    """Broker and worker of jobs."""
    return shared.only("broker", "worker-short")


def message():
    """A good one, as Celery writes it."""
    with app.connection_for_write() as connection:
        work.apply_async((10**12,), queue="aside", connection=connection)
        return connection.default_channel.client.rpop("aside")


def changed(text, place, value):
    """The message, with one of its fields gone or something else."""
    found = here = json.loads(text)
    *path, last = place.split(".")
    for name in path:
        here = here[name]
    here.pop(last, None) if value is REMOVED else here.update({last: value})
    return json.dumps(found)


def test_a_worker_drops_what_it_cannot_read_and_goes_on(machine, transactional_db):
    good = message()
    with app.connection_for_write() as connection:
        client = connection.default_channel.client
        for text in [*TEXTS, *(changed(good, *change) for change in CHANGES)]:
            client.lpush("short", text)
        machine.until(lambda: not client.llen("short"))
    worker = machine.running["worker-short"]
    job = Job.objects.create(
        project=a_project(), kind="preview", payload={"upload": "none"}, key="k"
    )
    send_work(job.pk)
    machine.until(lambda: again(job).state == State.FAILED)  # nothing was uploaded
    assert worker.poll() is None
    assert "none of our programs sends was dropped" in machine.logs()
