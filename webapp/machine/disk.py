"""Telling a full disk from a bug, and sparing room on it.

Full is whatever a person mends by making room: no blocks, no inodes, no quota left.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from errno import EDQUOT, ENOSPC
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_lazy as _

FULL = (ENOSPC, EDQUOT)
POSTGRES_FULL = "53100"  # disk_full
# SQLite's primary codes: the first is said by a write, the others by a disk that may be full.
SQLITE_FULL = 13
SQLITE_PERHAPS = (8, 10, 14)  # read-only (no room for its index), I/O error, cannot open
SAID = _(
    "The disk of the machine that serves Attune is full: pages can be read, but nothing can be "
    "stored until somebody makes room there."
)
PROBE = b"\0" * (64 << 10)


def is_full(error: BaseException) -> bool:
    """Whether this error, or one that led to it, came of a full disk."""
    return any(_says_full(cause) for cause in causes(error))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """This error and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def has_no_room() -> bool:
    """Whether a small file cannot be written in one of the folders that hold what is stored."""
    return any(_refuses(folder) for folder in _stores())


def is_in_need() -> bool:
    """Whether that, or the folder of passing files, has no room: a program may not even start."""
    return has_no_room() or _refuses(Path(tempfile.gettempdir()))


def _says_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    if getattr(error, "sqlstate", None) == POSTGRES_FULL:
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    primary = code & 0xFF
    return primary == SQLITE_FULL or (primary in SQLITE_PERHAPS and is_in_need())


def _stores() -> list[Path]:
    places = [Path(settings.VAR), Path(settings.STORE)]
    if connection.vendor == "sqlite":
        places.append(Path(connection.settings_dict["NAME"]).parent)
    return list(dict.fromkeys(place for place in places if place.is_dir()))


def _refuses(folder: Path) -> bool:
    """Whether a file of a few blocks is refused: asked by writing one, as quotas show nowhere else."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".room-") as probe:
            probe.write(PROBE)
            probe.flush()
    except OSError as error:
        return error.errno in FULL
    return False


def link_or_copy(source: str, target: str) -> None:
    """The same file at a second place, where the file system can; else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
