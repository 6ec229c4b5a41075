"""Files that a job or a run is going to read and nobody else keeps, mostly sent by people: the one owner of STORE/uploads."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from django.conf import settings

from alignment.seam.modelfiles import safe_name
from webapp.machine.disk import link_or_copy

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile


def place_of(name: str) -> Path:
    """Where an upload lies, whether a file or a folder of files."""
    return _all() / safe_name(name)


def keep_file(file: "UploadedFile[bytes]") -> str:
    """Keep a file aside; its name there."""
    name = uuid4().hex
    _all().mkdir(parents=True, exist_ok=True)
    try:
        _write(file, place_of(name))
    except BaseException:
        forget(name)
        raise
    return name


def keep_files(name: str, files: Iterable["UploadedFile[bytes]"]) -> None:
    """Keep files together under this name; a second time replaces them."""
    forget(name)
    folder = place_of(name)
    folder.mkdir(parents=True)
    try:
        for file in files:
            _write(file, folder / safe_name(file.name or ""))
    except BaseException:
        forget(name)
        raise


def hold(name: str, folder: Path) -> bool:
    """Keep the files of a folder under this name too, whoever removes them there; False where some are gone already.

    Nothing is copied where both are on one disk.
    """
    place = place_of(name)
    aside = place.with_name(f".{uuid4().hex}")
    if place.is_dir():
        return True
    try:
        shutil.copytree(folder, aside, copy_function=link_or_copy)
        aside.rename(place)
    except (OSError, shutil.Error):  # somebody removed them meanwhile, or holds them as well
        shutil.rmtree(aside, ignore_errors=True)
    return place.is_dir()


def forget(name: str) -> None:
    """Remove an upload, if it is there."""
    path = place_of(name)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)


def kept() -> Iterator[Path]:
    """All uploads."""
    return _all().glob("*")


def _all() -> Path:
    return Path(settings.STORE) / "uploads"


def _write(file: "UploadedFile[bytes]", path: Path) -> None:
    with path.open("xb") as there:
        for chunk in file.chunks():
            there.write(chunk)
