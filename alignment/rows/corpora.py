"""Corpora: files of documents, read part by part, however much they unpack to.

A file is plain text, JSON lines or Parquet, packed by gzip or not. Nothing of it is held but a line, a group of
rows, or a part of a document; every line that cannot be read is one bad line, named by its place, and the
next one is read.
"""

import gzip
import io
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple

from alignment.kinds.pretrain.settings import DocumentName
from alignment.rows.found import BadRow
from alignment.rows.json_lines import BOM, Decoder
from alignment.seam.errors import DataError
from alignment.seam.folders import MANIFEST
from alignment.seam.words import _

TEXT = "text"  # the usual column
LONGEST = 1 << 26  # bytes of a line of JSON
PART = 1 << 20  # characters of a document that are taken at once
ROWS = 64  # of a Parquet file at once
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
OTHERS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
WIDE = (b"\xff\xfe", b"\xfe\xff")
LINES = (".jsonl", ".ndjson", ".json")
BROKEN = (gzip.BadGzipFile, EOFError, zlib.error)


class Passage(NamedTuple):
    """Some of a document's text; `last` says that it ends here."""

    place: str
    text: str
    last: bool = True


class BadLine(NamedTuple):
    """A line or row that cannot be read."""

    place: str
    reason: str


class Layout(NamedTuple):
    """How a file is read: what a document of plain text is, else the column; how much it may unpack to."""

    document: DocumentName = "paragraph"
    column: str = TEXT
    limit: int = 1 << 34  # bytes


Packed = io.BufferedReader | gzip.GzipFile
Passages = Iterator[Passage | BadLine]
Seen = Callable[[int], object]


def passages_of(path: Path, how: Layout, seen: Seen = lambda _bytes: None) -> Passages:
    """The documents of a file in their order; tells how many of its bytes were read.

    Raises DataError where the file is of no known kind, is damaged, or unpacks to more than the limit.
    """
    with path.open("rb") as packed:
        bounded = Limited(content_of(packed), how.limit, lambda: seen(packed.tell()))
        file = io.BufferedReader(bounded, 1 << 16)
        read = _reader_of(file.peek(8), path)
        for part in read(file, how):
            yield _checked(part) if isinstance(part, Passage) else part


def file_of(folder: Path) -> Path:
    """The corpus in a stored folder, or the path itself where it is a file; raises DataError."""
    if folder.is_file():
        return folder
    found = [path for path in sorted(folder.iterdir()) if path.name != MANIFEST]
    if len(found) != 1:
        raise DataError(
            _("{folder} holds no corpus: it should be one file.").format(folder=folder.name)
        )
    return found[0]


def oversized(limit: int) -> DataError:
    """What to do about a file that unpacks to too much."""
    return DataError(
        _("Unpacked, the file is larger than {gib:.3g} GiB; split it.").format(gib=limit / 2**30)
    )


def content_of(packed: io.BufferedReader) -> Packed:
    """The file's content; raises DataError where it is packed otherwise than by gzip."""
    head = packed.peek(8)
    for magic, name in OTHERS.items():
        if head.startswith(magic):
            raise DataError(
                _("The file is packed as {name}; pack it with gzip, or not at all.").format(
                    name=name
                )
            )
    return gzip.GzipFile(fileobj=packed) if head.startswith(GZIP) else packed


class Limited(io.RawIOBase):
    """A file that refuses to be read past so many bytes, whatever its packed size promised."""

    def __init__(self, file: Packed, limit: int, told: Callable[[], object]) -> None:
        super().__init__()
        self.file, self.left, self.limit, self.told = file, limit, limit, told

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer; raises DataError past the bound, and where the packing is damaged."""
        try:
            content = self.file.read(len(buffer))
        except BROKEN as error:
            raise DataError(_("The packed file is damaged or cut short; pack it again.")) from error
        self.left -= len(content)
        if self.left < 0:
            raise oversized(self.limit)
        self.told()
        buffer[: len(content)] = content
        return len(content)


def _reader_of(head: bytes, path: Path) -> Callable[[BinaryIO, Layout], Passages]:
    """What reads a file that begins so and has this name; raises DataError."""
    if head.startswith(WIDE):
        raise DataError(_("The file is UTF-16 text; save it as UTF-8."))
    if not head:
        raise DataError(_("The file is empty."))
    if head.startswith(GZIP):
        raise DataError(_("The file is packed twice; pack it once."))
    if head.startswith(PARQUET):
        return of_parquet
    names = [suffix.lower() for suffix in path.suffixes]
    return of_json_lines if set(names) & set(LINES) else of_text


class TextLine(NamedTuple):
    """Text of a line: all of it, or a piece of a long one; `ends` says that the line ends here."""

    number: int
    text: str
    ends: bool


@dataclass
class Gathered:
    """Lines of the document that is being read."""

    document: DocumentName
    place: str = ""
    lines: list[str] = field(default_factory=list)
    size: int = 0  # characters

    def add(self, line: TextLine) -> None:
        """Take one more."""
        self.place = self.place or f"line {line.number}"
        self.lines.append(line.text)
        self.size += len(line.text)

    def part(self, *, last: bool) -> Passage:
        """What is held, which is given away."""
        text = "".join(self.lines)
        self.lines, self.size = [], 0
        trimmed = last and self.document != "file"  # the last line's break parts documents
        return Passage(self.place, text.rstrip("\r\n") if trimmed else text, last)


def of_text(file: BinaryIO, how: Layout) -> Passages:
    """The lines, paragraphs or the whole of a plain text, in parts of about PART characters."""
    held = Gathered(how.document)
    for line in _lines(file):
        if isinstance(line, BadLine):
            yield line
            continue
        blank = how.document != "file" and not line.text.strip()
        if not blank:
            held.add(line)
        if held.place and _ends(how.document, line, blank=blank):
            yield held.part(last=True)
            held = Gathered(how.document)
        elif held.size >= PART:
            yield held.part(last=False)
    if held.place:
        yield held.part(last=True)


def _ends(document: DocumentName, line: TextLine, *, blank: bool) -> bool:
    """Whether a document of plain text ends with a line."""
    return line.ends if document == "line" else blank and document == "paragraph"


def _lines(file: BinaryIO) -> Iterator[TextLine | BadLine]:
    """The lines in UTF-8; one that is longer than PART comes in pieces that end between characters."""
    number, before, rest = 1, 0, b""
    while content := rest + file.readline(PART):
        content = content if number > 1 or before else content.removeprefix(BOM)
        ends = content.endswith(b"\n")
        whole = content if ends else _before_half(content)
        rest = content[len(whole) :] if whole else b""
        found = _decoded(whole or content, number, before)
        yield found if isinstance(found, BadLine) else TextLine(number, found, ends)
        before = 0 if ends else before + len((whole or content).decode(errors="replace"))
        number += ends


def _before_half(content: bytes) -> bytes:
    """The bytes without those of a last character that is not whole."""
    for back in range(1, min(4, len(content) + 1)):
        byte = content[-back]
        if byte >= 0xC0:  # begins a character of several bytes
            length = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return content[:-back] if length > back else content
        if byte < 0x80:
            break
    return content


def _decoded(content: bytes, number: int, before: int = 0) -> str | BadLine:
    """The text of a line behind so many characters of it, or where it is none."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        column = before + len(content[: error.start].decode(errors="replace")) + 1
        return BadLine(_place(number, column), _("not UTF-8 text"))
    if "\0" in text:
        column = before + text.index("\0") + 1
        return BadLine(_place(number, column), _("a zero byte, which no text holds"))
    return text


def _place(line: int, column: int) -> str:
    return f"line {line}, column {column}"


def of_json_lines(file: BinaryIO, how: Layout) -> Passages:
    """The text in the column of each line's object, or the line itself where it is a text."""
    number = 0
    while content := file.readline(LONGEST + 1):
        number += 1
        if len(content) > LONGEST and not content.endswith(b"\n"):
            while (rest := file.readline(PART)) and not rest.endswith(b"\n"):
                continue
            reason = _("longer than {n:,} bytes").format(n=LONGEST)
            yield BadLine(_place(number, LONGEST + 1), reason)
        elif content.strip():
            yield from _of_line(content.removeprefix(BOM), number, how.column)


def _of_line(content: bytes, number: int, column: str) -> Passages:
    line = _decoded(content, number)
    if isinstance(line, BadLine):
        yield line
        return
    decoder = Decoder()
    try:
        value = decoder.checked(decoder.decode(line.rstrip("\r\n")))
        text = _text_of(value, column)
    except json.JSONDecodeError as error:
        yield BadLine(_place(number, error.colno), f"not JSON: {error.msg}")
    except RecursionError:
        yield BadLine(_place(number, 1), _("not JSON: nested too deeply"))
    except ValueError as error:
        reason = str(error) if isinstance(error, BadRow) else _("a number in it is too long")
        yield BadLine(_place(number, 1), reason)
    else:
        yield from _in_parts(f"line {number}", text)


def _text_of(value: object, column: str) -> str:
    """The text of a row; raises BadRow where there is none."""
    found = value.get(column) if isinstance(value, dict) else value
    if isinstance(value, dict) and column not in value:
        there = ", ".join(f"“{str(name)[:40]}”" for name in list(value)[:8])
        raise BadRow(
            _("there is no “{column}”; it has {there}").format(
                column=column, there=there or "no column"
            )
        )
    if not isinstance(found, str):
        raise BadRow(_("“{column}” is no text").format(column=column))
    return found


def _in_parts(place: str, text: str) -> Passages:
    """A text that is all there, in parts."""
    starts = range(0, max(1, len(text)), PART)
    for start in starts:
        yield Passage(place, text[start : start + PART], last=start == starts[-1])


def _checked(part: Passage) -> Passage | BadLine:
    """The part, or why a tokenizer cannot read it."""
    try:
        part.text.encode()
    except UnicodeEncodeError as error:
        return BadLine(
            part.place, _("half of a character at {n:,} of its text").format(n=error.start + 1)
        )
    return part


def of_parquet(file: BinaryIO, how: Layout) -> Passages:
    """The text in the column of each row, a few rows at a time."""
    rows = parquet_rows(file, [how.column], how.limit)
    for number, row in enumerate(rows, start=1):
        yield from _of_row(row[how.column], number, how.column)


def parquet_rows(file: BinaryIO, columns: Sequence[str], limit: int) -> Iterator[Mapping[str, Any]]:
    """These columns of each row, a few rows at a time; raises DataError, also where one is not there."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - most corpora need no Arrow

    with TemporaryFile() as copy, _understood():  # Parquet is read to and fro
        shutil.copyfileobj(file, copy)
        table = pq.ParquetFile(copy)
        _check_columns(table, columns, limit)
        left = limit
        for batch in table.iter_batches(batch_size=ROWS, columns=list(columns)):
            left -= batch.nbytes
            if left < 0:  # a value is stored once and used by many rows
                raise oversized(limit)
            yield from batch.to_pylist()


def _of_row(text: object, number: int, column: str) -> Passages:
    if isinstance(text, str):
        yield from _in_parts(f"row {number}", text)
    else:
        reason = _("“{column}” is no text").format(column=column)
        yield BadLine(f"row {number}, column {column}", reason)


def _check_columns(table: Any, columns: Sequence[str], limit: int) -> None:  # noqa: ANN401 - pyarrow has no types
    """Raise DataError where a column is not there, or its groups unpack to more than the limit."""
    check_there(columns, table.schema_arrow.names)
    groups = [table.metadata.row_group(at) for at in range(table.metadata.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > limit:
        raise oversized(limit)


def check_there(columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise DataError where one of the columns is not among the names of a file's, or is there twice."""
    for column in columns:
        if column not in names:
            raise DataError(
                _("The file has no column “{column}”; it has {names}.").format(
                    column=column, names=", ".join(f"“{name[:40]}”" for name in names[:20])
                )
            )
        if names.count(column) > 1:
            raise DataError(
                _("The table has two columns “{twice}”. Rename one of them.").format(
                    twice=column[:40]
                )
            )


@contextmanager
def _understood() -> Iterator[None]:
    """Say of whatever Arrow stumbles over that the file is damaged."""
    import pyarrow as pa  # noqa: PLC0415 - most corpora need no Arrow

    try:
        yield
    except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
        raise DataError(
            _("The Parquet file is damaged or cut short; write it again, or as JSON lines.")
        ) from error
