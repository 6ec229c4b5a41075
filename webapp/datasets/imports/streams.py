"""Bytes of a file: unpacked where they are packed, never past a bound."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alignment.seam.progress import reach
from webapp.datasets.errors import ImportRefusal

HEAD = 1 << 20  # bytes that can be looked at before they are read: more than the longest line
DAMAGED = gettext_lazy(
    "The compressed file is damaged or cut short. Pack it again, or choose it unpacked."
)
SKIPPABLE = range(0x50, 0x60)  # frames of zstd with no content, as several threads write them
BROKEN = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException, OSError)


class Readable(Protocol):
    """Bytes that are read in their order."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


def _zstd(file: BinaryIO) -> Readable:
    stream: Readable = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return stream


PACKED: Mapping[bytes, Callable[[BinaryIO], Readable]] = {  # by how the bytes begin
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _zstd,
    **{bytes([number]) + b"\x2a\x4d\x18": _zstd for number in SKIPPABLE},
}


class Bounded(io.RawIOBase):
    """A file that refuses to be read past so many bytes, whatever its packed size promised."""

    def __init__(self, file: Readable, limit: int) -> None:
        super().__init__()
        self.file, self.left, self.limit = file, limit, limit

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer; raises ImportRefusal past the bound, and where the packing is damaged."""
        try:
            content = self.file.read(len(buffer))
        except BROKEN as error:
            raise ImportRefusal(DAMAGED) from error
        self.left -= len(content)
        if self.left < 0:
            raise ImportRefusal(too_large(self.limit))
        buffer[: len(content)] = content
        reach(1 - self.left / self.limit if content else 0)
        return len(content)


class Unpacked(io.BufferedReader):
    """The content of a file that may have been packed, and how much of its bound is left."""

    def __init__(self, bounded: Bounded) -> None:
        super().__init__(bounded, HEAD)
        self.bounded = bounded


class Rejoined(io.RawIOBase):
    """A file of which some was read already, from its beginning."""

    def __init__(self, seen: bytes, file: Readable) -> None:
        super().__init__()
        self.seen, self.file = io.BytesIO(seen), file

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer from what was read, then from the file."""
        content = self.seen.read(len(buffer)) or self.file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def too_large(limit: int) -> str:
    """What to do about a file that unpacks to too much."""
    return _("Unpacked, the file is larger than {limit:,.0f} MB. Split it.").format(
        limit=limit / 1e6
    )


def unpacked(file: io.BufferedReader, limit: int) -> Unpacked:
    """The content of a file that may be packed, bounded."""
    head = file.peek(8)
    opener = next((PACKED[magic] for magic in PACKED if head.startswith(magic)), None)
    return Unpacked(Bounded(opener(file) if opener else file, limit))
