"""What a file is, whatever it is called, and its rows; files that are none are named for what they are."""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports import json_documents, json_lines, parquet, tables
from webapp.datasets.imports.json_lines import BOM, Row
from webapp.datasets.imports.rows import BadRow
from webapp.datasets.imports.streams import DAMAGED, HEAD, Bounded, unpacked

SNIFFED = 4096
LINES = 50  # of text without a value among them are no JSON lines
ZIP = b"PK\x03\x04"
MOST_MEMBERS = 1000
ROWS_IN = ("jsonl", "ndjson", "csv", "tsv", "parquet")
NEITHER = "files in the zip without rows"

WHAT_TO_DO = "Choose JSON lines, a JSON array, CSV, TSV, Parquet, or a zip of them."
BEGINNINGS = {
    b"%PDF": "a PDF: its text has no rows",
    b"\xd0\xcf\x11\xe0": "an old Office document. Save its table as CSV UTF-8",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself. Fetch it with `git lfs pull`",
    b"SQLite format 3": "a SQLite database. Export its table as CSV",
    b"\xff\xfe": "UTF-16 text. Save it as UTF-8",
    b"\xfe\xff": "UTF-16 text. Save it as UTF-8",
    b"ARROW1": "an Arrow file. Save it as Parquet",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"7z\xbc\xaf": "a 7z archive. Pack it as zip",
    b"Rar!": "a RAR archive. Pack it as zip",
    b"<!doctype": "a web page. Download the file itself, not the page that shows it",
    b"<html": "a web page. Download the file itself, not the page that shows it",
    b"<?xml": "XML, which is not read",
    b"---\n": "YAML, which is not read",
}
OFFICE = {
    "xl/": "a spreadsheet. Save it as CSV UTF-8",
    "word/": "a Word document: its text has no rows",
}


@dataclass
class Opened:
    """A file that is being read: what it is, its rows, and what else was in it."""

    title: str
    rows: Iterator[Row]
    packed: BinaryIO  # as it lies on the disk
    beside: Counter[str] = field(default_factory=Counter)  # read by nobody, with why


@contextmanager
def opened(path: Path, limit: int) -> Iterator[Opened]:
    """The rows of a file of any known kind; raises ImportRefusal saying what it is instead."""
    with path.open("rb") as packed:
        if packed.peek(4).startswith(ZIP):
            yield _zip(packed, limit)
            return
        title, rows = _content(unpacked(packed, limit), limit)
        yield Opened(title, rows, packed)


def _content(file: io.BufferedReader, limit: int) -> tuple[str, Iterator[Row]]:
    """What an unpacked file is, and its rows."""
    head = file.peek(HEAD)
    if head.startswith(parquet.MAGIC):
        return "Parquet", parquet.rows_of(file, limit)
    if head.startswith(ZIP):
        raise ImportRefusal(f"A zip within another file is not read. Unpack it once. {WHAT_TO_DO}")
    _refuse_others(head)
    return _text(file, head.removeprefix(BOM))


def _refuse_others(head: bytes) -> None:
    known = head.removeprefix(BOM).lstrip().lower()
    for beginning, what in BEGINNINGS.items():
        if head.startswith(beginning) or known.startswith(beginning.lower()):
            raise ImportRefusal(f"The file is {what}. {WHAT_TO_DO}")
    if b"\0" in (start := head[:SNIFFED]):
        wide = max(start[::2].count(0), start[1::2].count(0)) > len(start) // 4
        what = "UTF-16 text. Save it as UTF-8" if wide and len(start) > 3 else "not text"
        raise ImportRefusal(f"The file is {what}. {WHAT_TO_DO}")


def _text(file: io.BufferedReader, head: bytes) -> tuple[str, Iterator[Row]]:
    """A table, a document or lines: decided by how the text begins."""
    first = head.lstrip().partition(b"\n")[0]
    value = json_lines.value_of(first)
    named = isinstance(value, str) and value in tables.KNOWN  # one column, its name quoted
    if (named or isinstance(value, BadRow)) and (separator := tables.separator_of(first)):
        return tables.SEPARATORS[separator], tables.rows_of(file, separator)
    begins = first[:1]
    if begins in (b"[", b"{") and json_documents.begins(head, value):
        title = "a JSON array" if begins == b"[" else "a JSON document"
        return title, json_documents.rows_of(file)
    if first and begins not in (b"[", b"{", b'"') and not _any_value(head):
        raise ImportRefusal(_plain(first))
    return "JSON lines", json_lines.rows_of(file)


def _any_value(head: bytes) -> bool:
    lines = islice((line for line in head.split(b"\n") if line.strip()), LINES)
    return any(not isinstance(json_lines.value_of(line), BadRow) for line in lines)


def _plain(first: bytes) -> str:
    try:
        line = first.decode().strip()[:60]
    except UnicodeDecodeError:
        return f"The file is not UTF-8 text. {WHAT_TO_DO}"
    return (
        f"The file is plain text, not rows of data: it begins with “{line}”. Write each prompt as a JSON "
        "string on a line of its own, or as a table whose first row names its columns, such as “prompt”."
    )


def _zip(packed: BinaryIO, limit: int) -> Opened:
    """The rows of all files in a zip that hold some."""
    try:
        archive = zipfile.ZipFile(packed)
        members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise ImportRefusal("The zip is damaged or cut short. Pack it again.") from error
    for folder, what in OFFICE.items():
        if any(member.filename.startswith(folder) for member in members):
            raise ImportRefusal(f"The file is {what}. {WHAT_TO_DO}")
    if len(members) > MOST_MEMBERS:
        raise ImportRefusal(f"The zip holds more than {MOST_MEMBERS:,} files.")
    chosen = _with_rows(members)
    if not chosen:
        raise ImportRefusal(f"No file in the zip holds rows. {WHAT_TO_DO}")
    spent = _Spent(limit)
    rows = chain.from_iterable(_member(archive, member, spent) for member in chosen)
    names = {member.filename for member in chosen}
    beside = Counter({NEITHER: sum(member.filename not in names for member in members)})
    return Opened(
        f"a zip with {len(chosen)} file{'s' * (len(chosen) > 1)} of rows", rows, packed, +beside
    )


class _Spent:
    """How much of the bound all files of a zip may still unpack to."""

    def __init__(self, limit: int) -> None:
        self.left = limit


def _with_rows(members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The files to read: of one name with several endings the first in ROWS_IN; JSON if nothing else."""
    paths = {member: PurePosixPath(member.filename) for member in members}
    seen = {
        m: p for m, p in paths.items() if not p.name.startswith(".") and p.parts[0] != "__MACOSX"
    }
    named: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for ending in ROWS_IN:
        for member, path in seen.items():
            if path.suffix.lower() == f".{ending}":
                named.setdefault(path.with_suffix(""), member)
    found = list(named.values())
    return found or [member for member, path in seen.items() if path.suffix.lower() == ".json"]


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, spent: _Spent) -> Iterator[Row]:
    name = PurePosixPath(member.filename).name
    try:
        file = archive.open(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise ImportRefusal(f"“{name}” in the zip cannot be unpacked: {error}.") from error
    bounded = Bounded(_Unzipped(file), spent.left)
    _, rows = _content(io.BufferedReader(bounded, HEAD), spent.left)
    for place, value in rows:
        yield Row(f"{name}, {place}", value)
    spent.left = bounded.left


class _Unzipped:
    """A member of a zip, whose damage is told in words."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int) -> bytes:
        """So many bytes; raises ImportRefusal where they are damaged."""
        try:
            return self.file.read(size)
        except (zipfile.BadZipFile, RuntimeError) as error:
            raise ImportRefusal(DAMAGED) from error
