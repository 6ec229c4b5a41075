"""Backups: one file with the database and every stored artifact, each byte summed.

The database is copied first and the artifacts second, so that whatever a copied row names is in the
file, however many people label meanwhile. Checkpoints, uploads and exports are not in it: runs begin
again from their inputs, and an export can be made again.
"""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from pydantic import BaseModel, ValidationError

from alignment.seam.errors import CheckpointError
from alignment.seam.folders import verify
from webapp.artifacts.models import Artifact
from webapp.labeling.models import Label
from webapp.machine import database
from webapp.operations.database_copies import ENGINES

MANIFEST = "BACKUP.json"
SECRET = "secret_key"  # noqa: S105 - a file's name
BLOBS = "blobs"
FORMAT = 1
CHUNK = 1 << 20  # bytes
ENGINE_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


class BackupError(Exception):
    """A backup cannot be made or restored; the message says why and what to do."""


class Saved(NamedTuple):
    """What is in a backup."""

    labels: int
    artifacts: int
    bytes: int


class Facts(BaseModel, strict=True):
    """What the manifest of a backup says of it."""

    format: int
    engine: str
    made_at: str
    labels: int
    artifacts: int
    migrations: list[str]
    sha256: dict[str, str]


class Hashed:
    """A file that sums what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        block = self.file.read(size)
        self.digest.update(block)
        return block


class _Writer:
    """A tar in the making that remembers the sum of every file."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.sums: dict[str, str] = {}

    def add(self, path: Path, name: str) -> None:
        """Add a file under a name."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = path.stat().st_size, 0o600
        with path.open("rb") as file:
            source = Hashed(file)
            self.tar.addfile(entry, source)
        self.sums[name] = source.digest.hexdigest()


def back_up(target: Path, *, with_secret: bool = False) -> Saved:
    """Write a backup; raises BackupError and leaves nothing when it cannot be whole."""
    if target.exists():
        raise BackupError(f"{target} is there already; choose another name.")
    try:  # in a folder of our own: somebody may be writing the same backup
        with TemporaryDirectory(dir=target.parent, prefix=".backup-") as scratch:
            partial = Path(scratch) / "whole"
            with _private(partial) as file, tarfile.open(fileobj=file, mode="w") as tar:
                facts = _fill(_Writer(tar), Path(scratch), with_secret=with_secret)
            _put(partial, target)
    except OSError as error:
        raise BackupError(f"{target}: nothing was backed up. {error.strerror or error}.") from error
    return Saved(facts.labels, facts.artifacts, target.stat().st_size)


def _put(partial: Path, target: Path) -> None:
    """Give a file its name, which nobody else may have taken meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError as error:
        raise BackupError(f"{target} is there already; choose another name.") from error
    except OSError:  # a disk without links
        partial.rename(target)


def _fill(writer: _Writer, scratch: Path, *, with_secret: bool) -> Facts:
    engine = ENGINES[connection.vendor]
    named, labels = referenced(), Label.objects.count()
    engine.dump(scratch / engine.file)
    writer.add(scratch / engine.file, engine.file)
    named |= referenced()  # what came after a copy is too much; what a copied row names is all here
    for digest in sorted(named):
        _add_blob(writer, digest)
    if with_secret:
        _add_secret(writer)
    facts = Facts(
        format=FORMAT,
        engine=connection.vendor,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        labels=labels,  # at least
        artifacts=len(named),
        migrations=sorted(".".join(key) for key in MigrationLoader(connection).applied_migrations),
        sha256=writer.sums,
    )
    (scratch / MANIFEST).write_text(facts.model_dump_json(indent=1))
    writer.add(scratch / MANIFEST, MANIFEST)
    return facts


def referenced() -> set[str]:
    """The digests of all artifacts the database knows."""
    return set(Artifact.objects.order_by().values_list("manifest_sha256", flat=True))


def _add_blob(writer: _Writer, digest: str) -> None:
    folder = Artifact(manifest_sha256=digest).path
    if not _is_whole(folder, digest):
        owner = Artifact.objects.filter(manifest_sha256=digest).first()
        raise BackupError(
            f"The artifact “{owner}” is damaged or gone ({folder}): nothing was backed up. "
            "Bring the folder back from an older backup."
        )
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        writer.add(path, f"{BLOBS}/{digest}/{path.relative_to(folder).as_posix()}")


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        return verify(folder) == digest
    except (CheckpointError, OSError, ValueError, KeyError):  # whatever is wrong with its manifest
        return False


def _add_secret(writer: _Writer) -> None:
    path = Path(settings.VAR) / SECRET
    if not path.exists():
        raise BackupError(
            f"There is no {path}: the secret key is somewhere else. Save it yourself."
        )
    writer.add(path, SECRET)


@contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    """A new file that only we can read, on disk when the block ends."""
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def restore(source: Path, *, force: bool = False) -> Facts:
    """Put a backup in place of what is here, once every byte of it is known to be right.

    The facts of its manifest. Raises BackupError before anything is changed.
    """
    if not (force or is_empty()):
        raise BackupError(
            f"There is data in {settings.VAR} already. --force replaces the database (the old one "
            "is kept beside it where it is a file)."
        )
    store = Path(settings.STORE)
    store.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=store, prefix=".restore-") as name:
        aside = Path(name)
        facts = _unpack(source, aside)
        _check(aside, facts)
        _install(aside, facts)
    return facts


def is_empty() -> bool:
    """Whether there are neither rows nor artifacts; a database that is none may be somebody's."""
    blobs = Path(settings.STORE) / BLOBS
    try:
        return not connection.introspection.table_names() and not blobs.exists()
    except DatabaseError as error:
        if database.is_away(error):
            raise
        return False


def _unpack(source: Path, aside: Path) -> Facts:
    """Unpack and compare every file with its sum; the manifest's facts."""
    try:
        with tarfile.open(source, "r:") as tar:
            sums = {member.name: _extract(tar, member, aside) for member in tar}
        facts = Facts.model_validate_json((aside / MANIFEST).read_bytes())
    except ValidationError as error:
        raise BackupError(f"{source} is no backup: its manifest says nothing of one.") from error
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise BackupError(f"{source} is no backup, or was cut short: {error}.") from error
    del sums[MANIFEST]
    wrong = sorted(sums.items() ^ facts.sha256.items())
    if wrong:
        raise BackupError(f"{source} is damaged: {wrong[0][0]} is not what was backed up.")
    return facts


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, aside: Path) -> str:
    """Write one file of the tar below the folder; its sum. Links and other places are refused."""
    name = PurePosixPath(member.name)
    file = tar.extractfile(member) if member.isreg() else None
    if file is None or name.is_absolute() or ".." in name.parts:
        raise BackupError(f"A backup has no “{member.name}” in it; nothing was restored.")
    path = aside / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = Hashed(file)
    with path.open("xb") as target:
        shutil.copyfileobj(content, target, CHUNK)
    return content.digest.hexdigest()


def _check(aside: Path, facts: Facts) -> None:
    """Whether this code and this database can take it in; raises BackupError."""
    if facts.format != FORMAT:
        raise BackupError("The backup was made by another version of Attune.")
    if facts.engine != connection.vendor:
        was = ENGINE_NAMES.get(facts.engine, "another database")
        now = ENGINE_NAMES[connection.vendor]
        raise BackupError(f"The backup is of {was}, the database here is {now}.")
    if ENGINES[facts.engine].file not in facts.sha256:
        raise BackupError("There is no database in the backup.")
    known = {".".join(key) for key in MigrationLoader(None).disk_migrations}
    if set(facts.migrations) - known:
        raise BackupError("The backup was made by a newer version of Attune; install that first.")
    for folder in _blobs(aside):
        if not _is_whole(folder, folder.name):
            raise BackupError(f"The artifact {folder.name} in the backup is damaged.")
    ENGINES[connection.vendor].check(aside / ENGINES[connection.vendor].file)


def _install(aside: Path, facts: Facts) -> None:
    """Artifacts first, which can only add; then the database, at once."""
    for folder in _blobs(aside):
        target = Artifact(manifest_sha256=folder.name).path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    if (aside / SECRET).exists():
        with _private(Path(settings.VAR) / SECRET) as file:
            file.write((aside / SECRET).read_bytes())
    engine = ENGINES[facts.engine]
    engine.load(aside / engine.file)


def _blobs(aside: Path) -> list[Path]:
    return sorted((aside / BLOBS).iterdir()) if (aside / BLOBS).is_dir() else []
