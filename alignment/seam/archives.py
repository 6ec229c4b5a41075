"""Unpacking somebody's archive: counted, measured, without links, into one flat folder.

Torch-free. Names are reduced to one safe basename; what the archive says of itself is not believed.
"""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from alignment.seam.errors import DataError
from alignment.seam.modelfiles import MOST_FILES, printable, safe_name, wanted
from alignment.seam.progress import reach
from alignment.seam.words import _

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
RATIO = 200  # unpacked to packed: weights reach 2, text 20, a bomb 1,000
SMALL = 16 << 20  # bytes that nobody calls a bomb
BLOCK = 1 << 20
PADDING = 2 << 20  # bytes of a tar beside its files: its headers and its end
LARGEST_HEADER = 4 << 20  # bytes


class Readable(Protocol):
    """What a file is copied from."""

    def read(self, count: int, /) -> bytes:
        """So many bytes, or those that are left."""


class Counted:
    """A member of an archive, or a file: reading it counts how far the archive is read."""

    def __init__(self, member: Readable, archive: IO[bytes]) -> None:
        self.member, self.archive = member, archive
        self.size = max(1, os.fstat(archive.fileno()).st_size)

    def read(self, count: int, /) -> bytes:
        """So many bytes, or those that are left."""
        block = self.member.read(count)
        reach(self.archive.tell() / self.size)
        return block


PACKED: Mapping[bytes, Callable[[IO[bytes]], Readable]] = {  # by how the bytes begin
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
Member = tuple[str, Readable]


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked."""
    return name.lower().endswith(SUFFIXES)


class Forward:
    """The bytes of a tar that may be packed, read once from front to back: all of them count, also those left out."""

    def __init__(self, packed: IO[bytes], room: int) -> None:
        head = packed.read(BLOCK)[:8]
        packed.seek(0)
        opener = next((PACKED[magic] for magic in PACKED if head.startswith(magic)), None)
        self.source: Readable = opener(packed) if opener else packed
        self.room, self.at = room, 0

    def read(self, count: int) -> bytes:
        """So many bytes, or those that are left; raises DataError where they are more than a tar may hold."""
        if count > LARGEST_HEADER:  # what is copied is asked for in blocks
            raise DataError(
                _("A header in the archive is larger than any model's; it may be a bomb.")
            )
        try:
            block = self.source.read(count)
        except (lzma.LZMAError, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            raise tarfile.ReadError(str(error)) from error
        self.at += len(block)
        if self.at > self.room:
            raise DataError(_("The archive unpacks to more than is allowed; it may be a bomb."))
        return block

    def seek(self, place: int) -> int:
        """Read on to a later place."""
        while self.at < place and self.read(min(BLOCK, place - self.at)):
            pass
        if self.at != place:
            raise tarfile.ReadError("unexpected end of data")
        return place

    def tell(self) -> int:
        """How much was read."""
        return self.at


def unpack(archive: Path, target: Path, limit: int) -> None:
    """Fill an existing folder with the files of an archive, at most `limit` bytes of them.

    Raises DataError naming the member that is a link, leaves the folder, comes twice or never ends.
    """
    room = min(limit, max(SMALL, RATIO * archive.stat().st_size))
    try:
        with archive.open("rb") as packed:
            zipped = archive.suffix.lower() == ".zip"
            for name, source in zip_members(packed) if zipped else tar_members(packed, room):
                flat = flattened(name)
                if flat is None or not wanted(flat):
                    continue
                room -= copy(Counted(source, packed), target / safe_name(flat), room)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        NotImplementedError,
    ) as error:
        raise DataError(
            _("{name} is damaged: {error}").format(name=archive.name, error=error)
        ) from error


def flattened(name: str) -> str | None:
    """A member's own name without the one folder around it; None for what a desktop adds."""
    parts = PurePosixPath(name).parts
    if "\\" in name or "\0" in name or name.startswith("/") or ".." in parts or not parts:
        raise DataError(
            _("“{name}” in the archive points outside of it.").format(name=printable(name))
        )
    if parts[-1].startswith(".") or parts[0] == "__MACOSX":
        return None
    if len(parts) > 2:
        raise DataError(
            _("“{name}” lies more than one folder deep. Pack the model's files alone.").format(
                name=printable(name)
            )
        )
    return parts[-1]


def zip_members(archive: IO[bytes]) -> Iterator[Member]:
    """The files of a zip, each open while it is the turn's."""
    with zipfile.ZipFile(archive) as bundle:
        listed = [info for info in bundle.infolist() if not info.is_dir()]
        check_count(archive, len(listed))
        for info in listed:
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DataError(
                    _("“{filename}” in the archive is a link.").format(
                        filename=printable(info.filename)
                    )
                )
            if info.flag_bits & 1:
                raise DataError(
                    _("“{filename}” in the archive is encrypted.").format(
                        filename=printable(info.filename)
                    )
                )
            with bundle.open(info) as source:
                yield info.filename, source


def tar_members(archive: IO[bytes], room: int) -> Iterator[Member]:
    """The files of a tar, read from front to back; all that it holds has room or is refused."""
    forward = Forward(archive, room + PADDING)
    with tarfile.open(fileobj=forward, mode="r:") as bundle:  # type: ignore[call-overload]  # it reads, seeks and tells
        for count, info in enumerate(bundle, start=1):
            check_count(archive, count)
            if info.isdir():
                continue
            source = bundle.extractfile(info) if info.isreg() else None
            if source is None:
                raise DataError(
                    _("“{name}” in the archive is a link or a device.").format(
                        name=printable(info.name)
                    )
                )
            yield info.name, source


def check_count(archive: IO[bytes], count: int) -> None:
    """Refuse an archive of more files than a model has."""
    if count > MOST_FILES:
        raise DataError(
            _("{name} holds more than {most_files} files.").format(
                name=Path(archive.name).name, most_files=MOST_FILES
            )
        )


def copy(source: Readable, target: Path, room: int) -> int:
    """Write a new file block by block; its bytes. Raises DataError when they pass the room left."""
    written = 0
    try:
        with target.open("xb") as copied:
            while block := source.read(BLOCK):
                written += len(block)
                if written > room:
                    raise DataError(
                        _(
                            "{name} unpacks to more than is allowed; the archive may be a bomb."
                        ).format(name=target.name)
                    )
                copied.write(block)
    except FileExistsError as error:
        raise DataError(_("{name} comes twice.").format(name=target.name)) from error
    return written
