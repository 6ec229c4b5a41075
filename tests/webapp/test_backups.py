"""Backups: whole while people label, refused when a byte is wrong, and never half restored."""

import hashlib
import io
import json
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command, execute_from_command_line
from django.db import connection

from tests.factories import a_label, a_project, a_user, an_artifact, some_labels, some_tasks
from tests.forks import Fork
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.labeling import queue
from webapp.labeling.models import Label
from webapp.labeling.services import submit_label
from webapp.operations.backups import MANIFEST, BackupError, back_up, restore
from webapp.operations.database_copies import ENGINES
from webapp.operations.stack import only_one
from webapp.settings import keep_private, secret_key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]
APPS = ["labeling", "registry", "datasets", "projects", "accounts"]
TABLES = [model._meta.db_table for app in APPS for model in apps.get_app_config(app).get_models()]


@pytest.fixture
def lab(transactional_db):
    """A project with labels, a snapshot of them and a model."""
    lab = a_project(name="Lab")
    some_labels(some_tasks(lab, 3))
    freeze_snapshot(lab)
    return lab


@pytest.fixture
def file(lab, tmp_path):
    path = tmp_path / "attune.tar"
    back_up(path)
    return path


class Place:
    """Another installation: a VAR and a database of its own."""

    def __init__(self, var, database):
        self.var, self.database = var, str(database)

    def manage(self, *arguments, status=0):
        """What a command said there, in a process of its own."""
        connection.close()  # ours, which that must not use
        said = self.var.with_suffix(".said")
        with said.open("w") as out:
            assert Fork(lambda: self._manage(arguments, out)).wait() == status, said.read_text()
        return said.read_text()

    def _manage(self, arguments, out):
        sys.stdout = sys.stderr = out
        keep_private(self.var)
        settings.SECRET_KEY = secret_key(self.var)
        settings.VAR, settings.STORE = self.var, self.var / "store"
        connection.settings_dict["NAME"] = self.database
        try:
            execute_from_command_line(["manage.py", *arguments])
        except SystemExit as end:
            return end.code
        finally:
            out.flush()


@pytest.fixture
def elsewhere(tmp_path):
    var, name = tmp_path / "elsewhere", f"restored_{uuid4().hex[:8]}"
    if connection.vendor == "sqlite":
        yield Place(var, var / "attune.sqlite3")
        return
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield Place(var, name)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def rows_in(database):
    """Every row of a database, by table; read here, as a program takes a second to start."""
    place = {"database": database} if connection.vendor == "sqlite" else {"dbname": database}
    with closing(connection.get_new_connection(connection.get_connection_params() | place)) as db:
        return {table: rows_of(db, table) for table in TABLES}


def rows_of(db, table):
    cursor = db.cursor()
    cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def rows_here():
    return rows_in(connection.settings_dict["NAME"])


def artifacts_of(place):
    """The folders in its store, and those its rows name."""
    stored = {path.name for path in place.var.glob("store/blobs/sha256/*/*")}
    named = rows_in(place.database)["registry_artifact"]
    return stored, {row["manifest_sha256"] for row in named}


def test_a_restored_backup_has_every_row_and_artifact(lab, tmp_path, elsewhere):
    an_artifact(lab, tmp_path)
    back_up(tmp_path / "attune.tar")
    said = elsewhere.manage("restore", str(tmp_path / "attune.tar"))
    assert "3 labels, 2 artifacts" in said
    assert rows_in(elsewhere.database) == rows_here()
    stored, named = artifacts_of(elsewhere)
    assert stored == named
    assert len(stored) == 2


@pytest.fixture
def busy(lab, tmp_path):
    """Somebody who labels, and freezes snapshots, until they are told to stop: counts labels."""
    ana = a_user(lab, Role.ANNOTATOR)
    some_tasks(lab, 400)
    stop, labelled = threading.Event(), threading.Semaphore(0)

    def label():
        try:
            while not stop.is_set() and (held := queue.claim(lab, ana)) is not None:
                submit_label(held, client_id=uuid4(), answer={"choice": 2})
                if Label.objects.count() % 8 == 0:
                    freeze_snapshot(lab)
                labelled.release()
        finally:
            connection.close()

    def end():
        stop.set()
        thread.join(60)

    thread = threading.Thread(target=label)
    thread.start()
    assert labelled.acquire(timeout=60)
    labelled.end = end
    yield labelled
    end()


def test_a_backup_made_while_people_label_is_consistent(busy, tmp_path, elsewhere):
    before = Label.objects.count()
    back_up(tmp_path / "attune.tar")
    while busy.acquire(blocking=False):
        continue
    for _ in range(5):  # they are not kept waiting for ever
        assert busy.acquire(timeout=60)
    busy.end()  # a fork beside a thread that uses SQLite may wait for its locks for ever
    elsewhere.manage("restore", str(tmp_path / "attune.tar"))
    rows = rows_in(elsewhere.database)
    labels, tasks = rows["labeling_label"], rows["labeling_task"]
    assert len(labels) >= before
    assert sum(task["done"] for task in tasks) == sum(label["counted"] for label in labels)
    stored, named = artifacts_of(elsewhere)
    assert named <= stored


def test_an_artifact_stored_just_before_the_copy_is_in_it(lab, tmp_path, monkeypatch):
    engine, made = ENGINES[connection.vendor], []

    def dump(target):
        made.append(an_artifact(lab, tmp_path).manifest_sha256)
        engine.dump(target)

    monkeypatch.setitem(ENGINES, connection.vendor, engine._replace(dump=dump))
    back_up(tmp_path / "attune.tar")
    assert f"blobs/{made[0]}/weights.json" in names_in(tmp_path / "attune.tar")


def spoil(path, name):
    """Flip one byte in the middle of one file of the tar."""
    with tarfile.open(path) as tar:
        member = tar.getmember(name)
    content = bytearray(path.read_bytes())
    content[member.offset_data + member.size // 2] ^= 1
    path.write_bytes(content)


def names_in(path):
    with tarfile.open(path) as tar:
        return tar.getnames()


@pytest.mark.once
def test_one_wrong_byte_in_any_file_is_found_before_anything_changes(file, settings, tmp_path):
    sound = file.read_bytes()
    before = rows_here()
    for name in names_in(file):
        file.write_bytes(sound)
        spoil(file, name)
        with pytest.raises(BackupError):
            restore(file, force=True)
    assert rows_here() == before
    assert not list(settings.STORE.glob(".restore-*"))


@pytest.mark.once
@pytest.mark.parametrize("kept", [0, 100, 0.3, 0.9])
def test_a_file_cut_short_is_refused(file, kept):
    content = file.read_bytes()
    file.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(BackupError, match=r"no backup, or was cut short|is damaged"):
        restore(file, force=True)


@pytest.mark.once
@pytest.mark.parametrize("said", ["[]", "{}", '{"sha256": []}'])
def test_a_tar_of_something_else_is_refused(lab, tmp_path, said):
    manifest = tmp_path / MANIFEST
    manifest.write_text(said)
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(manifest, MANIFEST)
    with pytest.raises(BackupError, match="is no backup"):
        restore(tmp_path / "other.tar", force=True)


@pytest.mark.once
def test_a_missing_file_is_refused(lab, tmp_path):
    with pytest.raises(CommandError, match="no backup"):
        call_command("restore", str(tmp_path / "none.tar"), force=True)


@pytest.mark.once
@pytest.mark.parametrize("name", ["../outside", "/outside", "blobs/../../outside"])
def test_a_file_that_would_land_elsewhere_is_refused(file, name, tmp_path):
    with tarfile.open(file, "a") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(BackupError, match="outside"):
        restore(file, force=True)


@pytest.mark.once
def test_a_link_is_refused(file):
    entry = tarfile.TarInfo("blobs/link")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(file, "a") as tar:
        tar.addfile(entry)
    with pytest.raises(BackupError, match="blobs/link"):
        restore(file, force=True)


def test_existing_data_is_replaced_only_by_force(file, lab, tmp_path, elsewhere):
    elsewhere.manage("restore", str(file))
    kept = rows_in(elsewhere.database)
    a_label(some_tasks(lab)[0])
    back_up(tmp_path / "later.tar")
    refused = elsewhere.manage("restore", str(tmp_path / "later.tar"), status=1)
    assert rows_in(elsewhere.database) == kept
    assert "--force" in refused
    elsewhere.manage("restore", str(tmp_path / "later.tar"), "--force")
    assert rows_in(elsewhere.database) == rows_here()
    if connection.vendor == "sqlite":
        assert (elsewhere.var / "attune.sqlite3.before-restore").is_file()


@pytest.mark.once
def test_a_running_installation_is_not_restored_over(file, settings):
    with only_one(Path(settings.VAR)), pytest.raises(CommandError, match="already runs"):
        call_command("restore", str(file), force=True)


def test_the_secret_key_is_left_out_unless_asked_for(file, lab, settings, tmp_path, elsewhere):
    (settings.VAR / "secret_key").write_text("very secret")
    assert "secret_key" not in names_in(file)
    back_up(tmp_path / "with.tar", with_secret=True)
    elsewhere.manage("restore", str(tmp_path / "with.tar"))
    assert (elsewhere.var / "secret_key").read_text() == "very secret"
    assert (elsewhere.var / "secret_key").stat().st_mode & 0o077 == 0


@pytest.mark.once
def test_only_its_owner_can_read_a_backup(file):
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.once
@pytest.mark.parametrize("damaged", ["weights.json", "MANIFEST.json"])
def test_a_damaged_artifact_is_named_and_leaves_no_half_backup(lab, tmp_path, damaged):
    artifact = an_artifact(lab, tmp_path, name="Careful")
    (artifact.path / damaged).write_text("changed")
    with pytest.raises(CommandError, match="Careful"):
        call_command("backup", str(tmp_path / "attune.tar"))
    assert not list(tmp_path.glob("*attune.tar*"))


@pytest.mark.once
def test_an_older_backup_is_not_written_over(file):
    before = file.read_bytes()
    with pytest.raises(CommandError, match="there already"):
        call_command("backup", str(file))
    assert file.read_bytes() == before


def test_of_two_backups_of_one_name_one_is_whole_and_the_other_refused(
    lab, tmp_path, monkeypatch, elsewhere
):
    target, engine, others = tmp_path / "attune.tar", ENGINES[connection.vendor], []

    def dump(copy):
        if not others:
            others.append(copy)
            back_up(target)  # somebody else, a moment later and quicker
        engine.dump(copy)

    monkeypatch.setitem(ENGINES, connection.vendor, engine._replace(dump=dump))
    with pytest.raises(BackupError, match="there already"):
        back_up(target)
    elsewhere.manage("restore", str(target))
    assert rows_in(elsewhere.database) == rows_here()
    assert [path.name for path in tmp_path.glob("*backup*")] + [target.name] == ["attune.tar"]


def sealed(path, **members):
    """A tar of files whose sums are right; its manifest's other facts are those of a backup, or as given."""
    facts = {"format": 1, "engine": connection.vendor, "made_at": "", "labels": 0, "artifacts": 0}
    facts |= {"migrations": [], "sha256": {}} | members.pop("facts", {})
    facts["sha256"] |= {
        name: hashlib.sha256(content).hexdigest() for name, content in members.items()
    }
    with tarfile.open(path, "w") as tar:
        for name, content in [*members.items(), (MANIFEST, json.dumps(facts).encode())]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.once
@pytest.mark.parametrize(
    "facts",
    [
        {"format": "1"}, {"format": 2}, {"engine": "oracle"}, {"engine": None}, {"labels": []}, {"made_at": 5},
        {"migrations": 5}, {"migrations": [5]}, {"artifacts": None}, {"sha256": {"x": []}}, {"sha256": {"x": "y"}}, {},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_was_made_up_is_refused_in_words(lab, tmp_path, facts):
    before = rows_here()
    with pytest.raises(CommandError, match=r"backup|is damaged"):
        call_command("restore", str(sealed(tmp_path / "x.tar", facts=facts)), force=True)
    assert rows_here() == before


def test_a_database_that_is_none_is_refused_whatever_its_sum(lab, tmp_path):
    name, before = ENGINES[connection.vendor].file, rows_here()
    file = sealed(tmp_path / "x.tar", **{name: b"no database " * 99})
    with pytest.raises(CommandError, match=r"cannot be copied|failed"):
        call_command("restore", str(file), force=True)
    assert rows_here() == before


@pytest.mark.sqlite  # PostgreSQL's is no file of ours
def test_a_broken_database_is_replaced_by_force_and_kept(file, elsewhere):
    elsewhere.var.mkdir()
    broken = elsewhere.var / "attune.sqlite3"
    broken.write_bytes(b"no database " * 99)
    assert "--force" in elsewhere.manage("restore", str(file), status=1)
    elsewhere.manage("restore", str(file), "--force")
    assert rows_in(elsewhere.database) == rows_here()
    assert (elsewhere.var / "attune.sqlite3.before-restore").read_bytes() == b"no database " * 99


def test_a_backup_of_a_newer_version_is_refused(lab, tmp_path, monkeypatch):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('labeling', '9999_later', CURRENT_TIMESTAMP)"
        )
    try:
        back_up(tmp_path / "attune.tar")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '9999_later'")
    with pytest.raises(BackupError, match="newer version"):
        restore(tmp_path / "attune.tar", force=True)
