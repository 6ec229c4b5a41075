"""Folders that are either complete or not there: written aside, summed, renamed.

Torch-free. A folder's identity is the SHA-256 of its `MANIFEST.json`, which lists the path, size and
SHA-256 of every file in it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alignment.seam.errors import CheckpointError
from alignment.seam.progress import through
from alignment.seam.words import _

MANIFEST = "MANIFEST.json"
CHUNK = 1 << 20  # bytes


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def committed(target: Path, *, synced: bool = True) -> Iterator[Path]:
    """A folder to fill; it becomes `target` at once, complete and synced, when the block ends well.

    One that is read at once and then removed need not be `synced`: no power cut matters to it.
    """
    aside = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        _seal(aside, _sync if synced else _leave)
        if target.exists():
            discard(target)
        aside.rename(target)
        if synced:
            _sync(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder so that, whenever this is cut short, it is not seen half removed."""
    aside = folder.with_name(f".tmp-{folder.name}-{os.getpid()}-gone")
    folder.rename(aside)
    shutil.rmtree(aside)


def manifest_sha256(folder: Path) -> str:
    """The identity of a committed folder; raises CheckpointError where the manifest is missing."""
    try:
        return file_sha256(folder / MANIFEST)
    except FileNotFoundError as error:
        raise CheckpointError(
            _("{name} has no {manifest}: it was never completed.").format(
                name=folder.name, manifest=MANIFEST
            )
        ) from error


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def verify(folder: Path) -> str:
    """Check every file against the manifest; the folder's identity. Raises CheckpointError."""
    identity = manifest_sha256(folder)
    listed = {row["path"]: row for row in json.loads((folder / MANIFEST).read_text())["files"]}
    if set(listed) != set(_files(folder)):
        raise CheckpointError(
            _("{name} does not hold the files its manifest lists.").format(name=folder.name)
        )
    for name, row in listed.items():
        if file_sha256(folder / name) != row["sha256"]:
            raise CheckpointError(
                _("{folder}/{name} does not match its checksum.").format(
                    folder=folder.name, name=name
                )
            )
    return identity


def _seal(folder: Path, sync: Callable[[Path], object]) -> None:
    rows = []
    names = _files(folder)
    for name in through(names, len(names)):
        path = folder / name
        sync(path)
        rows.append({"path": name, "size": path.stat().st_size, "sha256": file_sha256(path)})
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"files": rows}, indent=1))
    sync(manifest)
    for inner in (path for path in folder.rglob("*") if path.is_dir()):
        sync(inner)
    sync(folder)


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    own = folder / MANIFEST
    return sorted(str(p.relative_to(folder).as_posix()) for p in paths if p != own)


def _leave(_path: Path) -> None:
    """To the system, which writes it when it likes."""


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
