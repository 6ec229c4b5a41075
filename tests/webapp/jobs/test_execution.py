"""Claiming, doing and ending jobs."""

import gzip

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import OperationalError

from alignment.seam import progress
from tests.cases import cases
from tests.factories import again
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports import reading, streams
from webapp.jobs import execution, tend
from webapp.jobs.errors import JobError
from webapp.jobs.kinds import JOB_KINDS
from webapp.jobs.models import Job, State
from webapp.jobs.services import cancel_job, start_job
from webapp.jobs.tasks import work
from webapp.machine import uploads
from webapp.projects.models import Prompt
from webapp.queue.leases import LostLease
from webapp.site.clock import after


def put(job, **columns):
    Job.objects.filter(pk=job.pk).update(**columns)
    return again(job)


@pytest.fixture
def taken(job):
    """The job as the worker that claimed it holds it."""
    return execution.claim(job.pk)


@pytest.fixture
def kind(monkeypatch):
    """Make previews do something else."""

    def become(steps):
        monkeypatch.setattr(JOB_KINDS["preview"].does, steps)

    return become


def test_a_message_gets_the_job_done(job):
    work(job.pk)
    job = again(job)
    assert (job.state, job.result["prompts"], job.progress) == (State.DONE, 2, job.total)


def test_a_doubled_message_does_nothing(job):
    assert execution.claim(job.pk) is not None
    assert execution.claim(job.pk) is None
    work(job.pk)
    assert again(job).state == State.WORKING


def test_a_late_message_does_not_do_it_again(job):
    work(job.pk)
    work(job.pk)
    assert again(job).attempts == 1


def test_the_same_key_is_the_same_job(project, job):
    assert start_job(project, kind="preview", payload={}, key=job.key) == job


def test_a_job_whose_worker_went_silent_is_taken_over(taken):
    put(taken, lease_until=after(-1))
    assert execution.claim(taken.pk).attempts == 2


def test_an_address_is_made_when_a_jobs_end_is_stored(
    taken, settings, django_capture_on_commit_callbacks
):
    """The first one takes a worker a while, and on SQLite everybody who writes waits for its transaction."""
    job = put(taken, kind="export")
    settings.ROOT_URLCONF = "webapp.nowhere"
    with django_capture_on_commit_callbacks() as after_it:
        execution.conclude(job, dict)
    assert again(job).state == State.DONE
    (tell,) = after_it
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        tell()


def test_a_worker_that_lost_its_job_stores_nothing(taken):
    put(taken, lease_until=after(-1))
    execution.claim(taken.pk)
    with pytest.raises(LostLease):
        Job.objects.renew(taken, progress=1, total=2)
    with pytest.raises(LostLease):
        execution.conclude(taken, lambda: {"late": True})
    assert again(taken).result == {}


def test_progress_is_stored_and_keeps_the_lease(taken):
    put(taken, lease_until=after(-1))
    Job.objects.renew(taken, progress=3, total=9)
    stored = again(taken)
    assert (stored.progress, stored.total) == (3, 9)
    assert not Job.objects.silent().exists()


def test_a_cancelled_job_stops_at_its_next_step(taken, kind, settings):
    settings.JOB_RENEW = 0
    steps = []

    def count(_job):
        for step in range(5):
            steps.append(step)
            if step == 2:
                cancel_job(taken)
            yield step, 5
        return dict

    kind(count)
    execution.execute(taken)
    assert (steps, again(taken).state) == ([0, 1, 2], State.CANCELLED)


def test_a_job_that_is_over_cannot_be_cancelled(job):
    work(job.pk)
    with pytest.raises(JobError, match="over already"):
        cancel_job(job)


def test_a_cancelled_job_is_not_begun_and_says_no_more_that_it_waits(job):
    put(job, message=execution.FULL)
    cancel_job(job)
    work(job.pk)
    assert (again(job).state, again(job).message) == (State.CANCELLED, "")


def test_a_refusal_is_what_the_job_says(taken, kind):
    def refuse(_job):
        yield 0, 1
        raise ImportRefusal("Mend line 3.")

    kind(refuse)
    execution.execute(taken)
    assert (again(taken).state, again(taken).message) == (State.FAILED, "Mend line 3.")


def test_a_bug_reaches_the_log_and_only_a_sentence_the_page(taken, kind):
    def stumble(_job):
        yield 0, 1
        raise KeyError("secret detail")

    kind(stumble)
    with pytest.raises(KeyError):
        execution.execute(taken)
    assert again(taken).state == State.FAILED
    assert "secret" not in again(taken).message


def test_a_last_step_that_fails_leaves_neither_rows_nor_done(taken, project, kind):
    def half(job):
        yield 0, 1

        def finish():
            job.project.prompts.create(key="k", messages=[], split="train", source="imported")
            raise ImportRefusal("No.")

        return finish

    kind(half)
    execution.execute(taken)
    assert again(taken).state == State.FAILED
    assert not Prompt.objects.exists()


def test_tend_sends_what_waits_once_in_a_while(job, monkeypatch):
    sent = []
    monkeypatch.setattr(tend, "send_work", lambda pk, queue: not sent.append((pk, queue)))
    assert (tend.ring_jobs(), tend.ring_jobs(), sent) == (1, 0, [(job.pk, "short")])


def test_tend_leaves_alone_what_somebody_works_on(taken, monkeypatch):
    monkeypatch.setattr(tend, "send_work", lambda *_: True)
    assert tend.ring_jobs() == 0
    put(taken, lease_until=after(-1))
    assert tend.ring_jobs() == 1


def test_a_job_that_kills_its_workers_is_given_up(taken):
    put(taken, attempts=3, lease_until=after(-1))
    call_command("tend", once=True)
    assert again(taken).state == State.FAILED
    assert "died 3 times" in again(taken).message


def test_jobs_are_forgotten_with_their_files_after_a_month(job, var):
    work(job.pk)
    assert tend.forget_jobs() == 0
    put(job, ended_at=after(-31 * 86400))
    assert tend.forget_jobs() == 1
    assert not Job.objects.exists()
    assert [path for path in (var / "store").rglob("*") if path.is_file()] == []


def test_a_database_that_was_away_costs_no_attempt(taken, kind):
    def lose(_job):
        yield 0, 1
        raise OperationalError("lost") from psycopg.OperationalError("lost")

    kind(lose)
    execution.execute(taken)
    assert (again(taken).state, again(taken).attempts) == (State.QUEUED, 0)
    assert again(taken).message == execution.AWAY


@cases(
    "content",
    [
        b"\n" * (6 << 20),
        b" " * (6 << 20),
        b"[" + b" " * (6 << 20) + b"]",
        b"prompt\n" + b"\n" * (6 << 20),
    ],
    quick=[b" " * (6 << 20)],
)
def test_bytes_without_a_row_are_signs_of_life(project, admin, settings, monkeypatch, content):
    settings.JOB_RENEW = 0
    monkeypatch.setattr(progress, "EVERY", 0)
    file = SimpleUploadedFile("rows.jsonl.gz", gzip.compress(content))
    name = uploads.keep_file(file)
    payload = {"upload": name, "name": "rows.jsonl.gz", "format": "guess"}
    job = execution.claim(
        start_job(project, kind="preview", payload=payload, key=name, by=admin).pk
    )
    renewed = []
    monkeypatch.setattr(
        type(Job.objects.all()), "renew", lambda self, row, **columns: renewed.append(columns)
    )
    execution.execute(job)
    assert again(job).message == "The file has no rows to import."
    assert len(renewed) >= 5


def test_a_job_that_is_cancelled_ends_between_two_bytes(project, admin, settings, monkeypatch):
    settings.JOB_RENEW = 0
    monkeypatch.setattr(progress, "EVERY", 0)
    name = uploads.keep_file(SimpleUploadedFile("rows.gz", gzip.compress(b"\n" * (6 << 20))))
    payload = {"upload": name, "name": "rows.gz", "format": "guess"}
    job = execution.claim(
        start_job(project, kind="preview", payload=payload, key=name, by=admin).pk
    )
    read, readinto = [], streams.Bounded.readinto

    def counted(self, buffer):
        read.append(len(buffer))
        if len(read) == 2:
            Job.objects.filter(pk=job.pk).update(state=State.CANCELLED)
        return readinto(self, buffer)

    monkeypatch.setattr(streams.Bounded, "readinto", counted)
    execution.execute(job)
    assert again(job).state == State.CANCELLED
    assert len(read) == 2


def test_a_file_of_more_rows_than_anybody_waits_for_is_refused(project, taken, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 1)
    execution.execute(taken)
    assert again(taken).message == "The file holds more than 1 rows. Split it."
