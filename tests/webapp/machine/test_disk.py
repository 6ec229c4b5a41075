"""A full disk, of every kind, is said as what it is: 507 in words, and never "something broke"."""

import errno
import os
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace

import psycopg.errors
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, connection, utils
from django.urls import reverse

from alignment.seam.folders import committed
from tests.disks import empty, fill
from tests.factories import a_run, a_user, again, run_at, some_tasks
from webapp.accounts.roles import Role
from webapp.artifacts.store import keep
from webapp.jobs import execution as jobs
from webapp.jobs import tasks
from webapp.jobs.models import Job
from webapp.jobs.services import start_job
from webapp.labeling.models import Label
from webapp.machine import disk, uploads
from webapp.machine.bodies import LOST
from webapp.machine.outages import FULL_DISK, answer
from webapp.operations.management.commands.tend import attempt
from webapp.projects.sessions import SessionStore
from webapp.runs import keeping, tend
from webapp.runs.tasks import ring

JSON = {"headers": {"Accept": "application/json"}}
HTMX = {"headers": {"HX-Request": "true"}}
FULL_ERRORS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    psycopg.errors.DiskFull("could not extend file"),
]
OTHER_ERRORS = [
    OSError(errno.EACCES, "Permission denied"),
    psycopg.errors.UniqueViolation("twice"),
    ValueError("no"),
    DatabaseError("no"),
]


def wrapped(error):
    """The error as Django and services pass it on."""
    try:
        try:
            raise error
        except type(error) as cause:
            raise utils.OperationalError(str(cause)) from cause
    except utils.OperationalError as outer:
        return outer


@pytest.mark.parametrize("error", FULL_ERRORS, ids=repr)
def test_a_full_disk_is_known_by_whatever_it_comes_wrapped_in(error):
    assert disk.is_full(error)
    assert disk.is_full(wrapped(error))


@pytest.mark.parametrize("error", OTHER_ERRORS, ids=repr)
def test_another_error_is_not_called_a_full_disk(error):
    assert not disk.is_full(error)
    assert not disk.is_full(wrapped(error))


@pytest.mark.parametrize("lack", ["blocks", "inodes"])
def test_a_disk_without_blocks_or_without_inodes_has_no_room(small_disk, settings, lack):
    settings.VAR = settings.STORE = small_disk
    assert not disk.has_no_room()
    fill(small_disk, lack)
    assert disk.has_no_room()
    empty(small_disk)
    assert not disk.has_no_room()


@pytest.mark.parametrize("lack", ["blocks", "inodes"])
def test_sqlite_on_a_full_disk_is_a_full_disk(small_disk, settings, lack):
    settings.VAR = settings.STORE = small_disk
    database = sqlite3.connect(small_disk / "db.sqlite3")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t (x)")
    if lack == "inodes":
        database.close()  # and with it its index, which needs a file again
        fill(small_disk, "inodes")
    else:
        fill(small_disk)
    with pytest.raises(sqlite3.OperationalError) as said:
        insert(sqlite3.connect(small_disk / "db.sqlite3"), 200)
    assert disk.is_full(said.value)
    assert disk.is_full(wrapped(said.value))


def insert(database, rows):
    for _ in range(rows):
        database.execute("INSERT INTO t VALUES (?)", ("x" * 20_000,))
        database.commit()


@pytest.fixture
def full_database(transactional_db):
    """A function after which SQLite has no room for another page; it has again at the end."""

    def no_more():
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")

    yield no_more
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1073741823")


@pytest.fixture
def card(project, client):
    """A card of a signed-in annotator, and the form that answers it at length."""
    ana = a_user(project, Role.ANNOTATOR, username="ana", password="glad-tidings-9")
    some_tasks(project, 3, texts=("Yes. " * 3000, "No. " * 3000))
    client.force_login(ana)
    url = reverse("labeling:label", args=[project.pk])
    assignment = client.get(url, **JSON).json()["assignment"]
    form = {
        "assignment": assignment,
        "choice": 2,
        "client_id": "0b8cf4e6-7f0d-4e7c-9d4c-1f1f36a0a5b4",
        "rationale": "because " * 1100,
    }
    return SimpleNamespace(url=url, form=form)


@pytest.mark.sqlite
@pytest.mark.parametrize("asking", [JSON, HTMX], ids=["program", "htmx"])
def test_an_answer_on_a_full_disk_is_507_in_words_and_then_stored(
    full_database, client, card, asking
):
    full_database()
    refused = client.post(card.url, card.form, **asking)
    assert refused.status_code == 507
    assert refused.json()["kind"] == "disk_full"
    assert "full" in refused.json()["error"]
    assert int(refused["Retry-After"]) > 0
    assert not Label.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1073741823")
    assert client.post(card.url, card.form, **asking).status_code == 200
    assert Label.objects.count() == 1


@pytest.mark.sqlite
def test_a_browser_gets_a_page_in_words(full_database, client, card):
    full_database()
    refused = client.post(card.url, card.form)
    assert refused.status_code == 507
    assert "The disk is full" in refused.content.decode()
    assert "kept in your browser" in refused.content.decode()
    assert "no-store" in refused["Cache-Control"]


def test_the_page_of_a_full_disk_asks_the_database_nothing(rf):
    page = answer(rf.get("/"), FULL_DISK)  # pytest-django refuses every query of this test
    assert page.status_code == 507
    assert "/static/app.css" in page.content.decode()


@pytest.mark.sqlite
def test_reading_goes_on_while_the_disk_is_full(full_database, client, project):
    admin = a_user(project, Role.ADMIN, username="ada")
    client.force_login(admin)
    full_database()
    for name in ("project", "labeling:labels", "labeling:tasks", "runs:list", "prompts"):
        assert client.get(reverse(name, args=[project.pk])).status_code == 200


@pytest.mark.sqlite
def test_a_sign_in_that_cannot_be_stored_says_so(full_database, client, project):
    a_user(project, username="ana", password="glad-tidings-9")
    client.raise_request_exception = False  # as a server: the session is saved behind the view
    full_database()
    words = {"login": "ana", "password": "glad-tidings-9"}
    with pytest.raises(utils.OperationalError, match="full"):
        fill_sessions()
    assert client.post(reverse("account_login"), words).status_code == 507


def fill_sessions():
    """Store sessions until the last page of their table is full."""
    while True:
        SessionStore().create()


@pytest.mark.once
@pytest.mark.parametrize("error", FULL_ERRORS, ids=repr)
@pytest.mark.parametrize("method", ["get", "post"])
def test_wherever_a_page_meets_a_full_disk_it_is_507(client, project, monkeypatch, error, method):
    """Behind the view as before it: middleware, session, body and template fail alike."""
    client.raise_request_exception = False
    client.force_login(a_user(project, Role.ADMIN, username="ada"))
    url = reverse("guidelines" if method == "post" else "project", args=[project.pk])

    def refuse(*_args, **_options):
        raise error

    for place in (
        "django.contrib.sessions.middleware.SessionMiddleware.process_request",
        "django.contrib.messages.middleware.MessageMiddleware.process_response",
        "webapp.projects.templatetags.navigation.Project.objects.current",
        "django.http.request.HttpRequest.get_host",
    ):
        with monkeypatch.context() as broken:
            broken.setattr(place, refuse)
            assert getattr(client, method)(url).status_code == 507, place


@pytest.mark.once
def test_a_bug_stays_a_bug(client, project, monkeypatch):
    client.raise_request_exception = False
    client.force_login(a_user(project))
    monkeypatch.setattr("webapp.home.views.waiting_for", lambda *_: 1 / 0)
    page = client.get(reverse("project", args=[project.pk]))
    assert page.status_code == 500
    assert "Something broke" in page.content.decode()


@pytest.mark.once
def test_an_upload_that_does_not_fit_is_507_and_leaves_nothing(
    client, project, small_disk, settings
):
    settings.STORE = small_disk / "store"
    client.force_login(a_user(project, Role.ADMIN, username="ada"))
    file = SimpleUploadedFile("rows.jsonl", b'"Why?"\n' * 400_000)
    url = reverse("datasets:import", args=[project.pk])
    assert client.post(url, {"file": file, "format": "guess"}).status_code == 507
    assert not Job.objects.exists()
    assert not [path for path in small_disk.rglob("*") if path.is_file()]


@pytest.mark.once
def test_a_request_that_the_web_program_had_no_room_for_is_507(client, project):
    client.force_login(a_user(project, Role.ADMIN))
    answer = client.post(reverse("datasets:import", args=[project.pk]), **{LOST: True})
    assert answer.status_code == 507


def test_an_upload_that_does_not_fit_beside_is_507(client, project, small_disk, settings):
    """What is too large for memory passes through TMPDIR before a view sees it."""
    settings.FILE_UPLOAD_TEMP_DIR = small_disk
    client.raise_request_exception = False
    client.force_login(a_user(project, Role.ADMIN, username="ada"))
    file = SimpleUploadedFile("rows.jsonl", b'"Why?"\n' * 600_000)
    url = reverse("datasets:import", args=[project.pk])
    assert client.post(url, {"file": file, "format": "guess"}).status_code == 507
    assert not list(small_disk.iterdir())


def test_a_folder_that_cannot_be_kept_leaves_nothing_half_written(
    project, small_disk, settings, tmp_path
):
    settings.STORE = small_disk / "store"
    with committed(tmp_path / "model") as aside:
        (aside / "weights.bin").write_bytes(b"x" * (2 << 20))
    with pytest.raises(OSError, match="No space left"):
        keep(tmp_path / "model")
    assert not [path for path in small_disk.rglob("*") if path.is_file()]


@pytest.fixture
def job(project, var):
    name = uploads.keep_file(SimpleUploadedFile("rows.jsonl", b'"Why?"\n"How?"'))
    payload = {"upload": name, "name": "rows.jsonl", "format": "guess"}
    return start_job(project, kind="preview", payload=payload, key=name)


@pytest.mark.parametrize("error", FULL_ERRORS, ids=repr)
def test_a_job_on_a_full_disk_waits_and_is_done_afterwards(job, monkeypatch, error):
    def refuse(_job):
        raise error
        yield

    with monkeypatch.context() as full:
        full.setattr(jobs.JOB_KINDS["preview"].does, refuse)
        for _ in range(5):  # more often than it may be lost
            jobs.execute(jobs.claim(job.pk))
            assert (again(job).state, again(job).attempts) == ("queued", 0)
            assert "goes on by itself" in again(job).message
    jobs.execute(jobs.claim(job.pk))
    assert (again(job).state, again(job).message) == ("done", "")


def test_nothing_is_claimed_while_it_would_be_lost(job, project, small_disk, settings):
    run = a_run(project)
    settings.VAR = settings.STORE = small_disk
    fill(small_disk)
    for _ in range(5):
        tasks.work(job.pk)
        ring(run.queue)
    assert (again(job).attempts, again(run).attempts) == (0, 0)
    assert (again(job).state, again(run).state) == ("queued", "queued")


@pytest.mark.parametrize("reason", ["disk_full", "worker_lost"])
def test_a_run_that_waits_for_room_keeps_its_attempts(project, small_disk, settings, reason):
    run = run_at(a_run(project), state="interrupted", reason=reason, attempts=2)
    settings.VAR = settings.STORE = small_disk
    fill(small_disk)
    for _ in range(5):
        tend.requeue()
    assert (again(run).state, again(run).attempts) == ("interrupted", 2)
    empty(small_disk)
    tend.requeue()
    assert again(run).state == "queued"


@pytest.mark.parametrize(
    "error", [*FULL_ERRORS[:2], wrapped(FULL_ERRORS[2]), utils.InterfaceError("gone")], ids=repr
)
def test_a_duty_of_the_janitor_outlives_a_full_disk(db, error):
    def refuse():
        raise error

    attempt(refuse)


def test_left_uploads_are_swept_and_those_that_wait_are_not(job, project, var, settings):
    left, kept = uploads.keep_file(SimpleUploadedFile("a", b"x")), again(job).payload["upload"]
    fresh = uploads.keep_file(SimpleUploadedFile("b", b"x"))
    run = a_run(project, "import")
    folder = Path(settings.STORE) / "uploads" / run.idempotency_key
    folder.mkdir()
    for path in (uploads.place_of(left), uploads.place_of(kept), folder):
        os.utime(path, (time.time() - 100_000,) * 2)
    keeping.sweep()
    names = {path.name for path in (Path(settings.STORE) / "uploads").iterdir()}
    assert names == {kept, fresh, run.idempotency_key}
