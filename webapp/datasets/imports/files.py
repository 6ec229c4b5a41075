"""What a file is, whatever it is called, and its rows; files that are none are named for what they are."""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from alignment.rows import json_lines
from alignment.rows.formats import GUESS, row_of
from alignment.rows.found import BadRow
from alignment.rows.json_lines import BOM, Row
from alignment.rows.threads import with_trees
from webapp.datasets.errors import ImportRefusal, NoRows
from webapp.datasets.imports import arrow, json_documents, parquet, tables
from webapp.datasets.imports.streams import DAMAGED, HEAD, Bounded, Rejoined, Unpacked, unpacked
from webapp.site.words import Words

SNIFFED = 4096
LINES = 50  # of text without a value among them are no JSON lines
ZIP = b"PK\x03\x04"
MOST_MEMBERS = 1000
MOST_TOLD = 15  # of them that are not read, one by one
TAR = slice(257, 262)
NO_KNOWN = gettext_noop("no row of a known kind")
OTHER_MEMBERS = gettext_noop("other files in the zip that are not read")

WHAT_TO_DO = gettext_lazy(
    "Choose JSON lines, a JSON array, CSV, TSV, Parquet, Arrow, or a zip of them."
)
BEGINNINGS = {
    b"%PDF": gettext_lazy("a PDF: its text has no rows"),
    b"\xd0\xcf\x11\xe0": gettext_lazy("an old Office document. Save its table as CSV UTF-8"),
    b"version https://git-lfs": gettext_lazy(
        "a pointer of Git LFS, not the file itself. Fetch it with `git lfs pull`"
    ),
    b"SQLite format 3": gettext_lazy("a SQLite database. Export its table as CSV"),
    b"\xff\xfe": gettext_lazy("UTF-16 text. Save it as UTF-8"),
    b"\xfe\xff": gettext_lazy("UTF-16 text. Save it as UTF-8"),
    b"\x93NUMPY": gettext_lazy("a NumPy array. Write its rows as JSON lines"),
    b"\x80\x04\x95": gettext_lazy("a Python pickle. Write its rows as JSON lines"),
    b"\x89HDF": gettext_lazy("an HDF5 file. Write its rows as JSON lines"),
    b"\x89PNG": gettext_lazy("a picture"),
    b"\xff\xd8\xff": gettext_lazy("a picture"),
    b"7z\xbc\xaf": gettext_lazy("a 7z archive. Pack it as zip"),
    b"Rar!": gettext_lazy("a RAR archive. Pack it as zip"),
    b"<!doctype": gettext_lazy("a web page. Download the file itself, not the page that shows it"),
    b"<html": gettext_lazy("a web page. Download the file itself, not the page that shows it"),
    b"<?xml": gettext_lazy("XML, which is not read"),
    b"---\n": gettext_lazy("YAML, which is not read"),
}
OFFICE = {
    "xl/": gettext_lazy("a spreadsheet. Save it as CSV UTF-8"),
    "word/": gettext_lazy("a Word document: its text has no rows"),
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
    if path.is_dir():
        yield _folder(path, limit)
        return
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
    if head.startswith((arrow.STREAM, arrow.FILE)):
        return "Arrow", arrow.rows_of(file)
    if head.startswith(ZIP):
        raise NoRows(
            _("A zip within another file is not read. Unpack it once. {advice}").format(
                advice=WHAT_TO_DO
            )
        )
    _refuse_others(head)
    return _text(file, head.removeprefix(BOM))


def _refuse_others(head: bytes) -> None:
    known = head.removeprefix(BOM).lstrip().lower()
    for beginning, what in BEGINNINGS.items():
        if head.startswith(beginning) or known.startswith(beginning.lower()):
            raise _no_rows(what)
    if head[TAR] == b"ustar":
        raise _no_rows(_("a tar archive. Unpack it, or pack it as zip"))
    if b"\0" in (start := head[:SNIFFED]):
        wide = _is_wide(start)
        raise _no_rows(_("UTF-16 text. Save it as UTF-8") if wide else _("not text"))


def _no_rows(what: Words) -> NoRows:
    sentence = _("The file is {what}. {advice}").format(what=what, advice=WHAT_TO_DO)
    return NoRows(sentence, what)


def _is_wide(start: bytes) -> bool:
    """Whether every other byte is zero, as in UTF-16, rather than any of them."""
    few, many = sorted((start[::2].count(0), start[1::2].count(0)))
    return len(start) > 3 and many > len(start) // 4 and few * 10 < many


def _text(file: io.BufferedReader, head: bytes) -> tuple[str, Iterator[Row]]:
    """A table, a document or lines: decided by how the text begins."""
    if (hint := tables.HINT.match(head)) and tables.knows(head[hint.end() :], hint.group(1)):
        file.read(file.peek(HEAD).index(head[: hint.end()]) + hint.end())
        separator = hint.group(1).decode()
        return tables.SEPARATORS[separator], tables.rows_of(file, separator)
    first = head.lstrip().partition(b"\n")[0]
    value = json_lines.value_of(first)
    named = isinstance(value, str) and value.lower() in tables.KNOWN  # one column, its name quoted
    if (named or isinstance(value, BadRow)) and (separator := tables.separator_of(first)):
        return tables.SEPARATORS[separator], tables.rows_of(file, separator)
    begins = first[:1]
    if begins in (b"[", b"{"):
        return _json(file, head, value)
    if first and begins != b'"' and not _any_value(head):
        if separator := tables.regular_separator(head[: tables.SNIFFED]):
            return tables.SEPARATORS[separator], tables.rows_of(file, separator)
        raise _plain(first)
    return gettext_noop("JSON lines"), json_lines.rows_of(file)


def _json(file: io.BufferedReader, head: bytes, value: object) -> tuple[str, Iterator[Row]]:
    """A document or lines; a first line longer than what was looked at is read to its end first."""
    if len(head) > json_lines.LONGEST_LINE and b"\n" not in head.strip():
        seen = file.readline(json_documents.LONGEST_OBJECT) + file.readline(HEAD)
        file = io.BufferedReader(Rejoined(seen, file), HEAD)
        head = seen.removeprefix(BOM)
    if json_documents.begins(head, value):
        array = head.lstrip()[:1] == b"["
        title = gettext_noop("a JSON array") if array else gettext_noop("a JSON document")
        return title, json_documents.rows_of(file)
    return gettext_noop("JSON lines"), json_lines.rows_of(file)


def _any_value(head: bytes) -> bool:
    lines = islice((line for line in head.split(b"\n") if line.strip()), LINES)
    return any(not isinstance(json_lines.value_of(line), BadRow) for line in lines)


def _plain(first: bytes) -> NoRows:
    try:
        line = first.decode().strip()[:60]
    except UnicodeDecodeError:
        return _no_rows(_("not UTF-8 text"))
    sentence = _(
        "The file is plain text, not rows of data: it begins with “{line}”. Write each prompt as a JSON "
        "string on a line of its own, or as a table whose first row names its columns, such as “prompt”."
    )
    return NoRows(sentence.format(line=line), _("plain text"))


class Member(NamedTuple):
    """A file beside others: its name below their folder, and what opens it."""

    path: PurePosixPath
    open: Callable[[], IO[bytes]]


def _zip(packed: BinaryIO, limit: int) -> Opened:
    """The rows of all files in a zip that hold some."""
    try:
        archive = zipfile.ZipFile(packed)
        infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise ImportRefusal(_("The zip is damaged or cut short. Pack it again.")) from error
    for folder, what in OFFICE.items():
        if any(info.filename.startswith(folder) for info in infos):
            raise ImportRefusal(
                _("The file is {what}. {advice}").format(what=what, advice=WHAT_TO_DO)
            )
    members = [Member(PurePosixPath(one.filename), partial(archive.open, one)) for one in infos]
    return _of_members(members, packed, limit)


def _folder(path: Path, limit: int) -> Opened:
    """The rows of all files in a folder that hold some, as `datasets` saves them; links are not followed."""
    found = (one for one in sorted(path.rglob("*")) if one.is_file() and not one.is_symlink())
    members = [
        Member(PurePosixPath(one.relative_to(path).as_posix()), partial(_bytes_of, one))
        for one in islice(found, MOST_MEMBERS + 1)
    ]
    opened = _of_members(members, io.BytesIO(), limit)
    opened.title = gettext_noop("a folder")
    return opened


def _bytes_of(path: Path) -> IO[bytes]:
    return path.open("rb")


def _of_members(members: list[Member], packed: BinaryIO, limit: int) -> Opened:
    if len(members) > MOST_MEMBERS:
        raise ImportRefusal(
            _("There are more than {most_members:,} files.").format(most_members=MOST_MEMBERS)
        )
    chosen, beside = _with_rows(members, limit)
    if not chosen:
        told = "; ".join(list(beside)[:3])
        raise ImportRefusal(
            _("No file in the zip holds rows ({told}). {advice}").format(
                told=told or _("it is empty"), advice=WHAT_TO_DO
            )
        )
    spent = _Spent(limit)
    rows = chain.from_iterable(_member(member, spent) for member in chosen)
    title = ngettext("a zip with {n} file of rows", "a zip with {n} files of rows", len(chosen))
    return Opened(title.format(n=len(chosen)), rows, packed, beside)


class _Spent:
    """How much of the bound all files of a zip may still unpack to."""

    def __init__(self, limit: int) -> None:
        self.left = limit


def _with_rows(members: list[Member], limit: int) -> tuple[list[Member], Counter[str]]:
    """The files to read, whatever they are called, and why each other one is not."""
    kinds = {member: _sniffed(member, limit) for member in members}
    ours = {_stem(member) for member, kind in kinds.items() if kind == OURS}
    roots = {_stem(member).parent for member in members if str(member.path).endswith(MANIFEST)}
    ours |= {_stem(one) for one in members if _is_lines(one) and roots & {*_stem(one).parents}}
    chosen: list[Member] = []
    beside: Counter[str] = Counter()
    for member, kind in kinds.items():
        reason = "" if kind in READ else kind
        if kind in READ and not _is_lines(member) and _stem(member) in ours:
            reason = _("the same rows as the JSON lines of its name")
        if not reason:
            chosen.append(member)
        else:
            name = member.path.name[:40]
            known = len(beside) < MOST_TOLD
            told = _("“{name}” in the zip is not read: {reason}").format(name=name, reason=reason)
            beside[told if known else OTHER_MEMBERS] += 1
    return chosen, beside


MANIFEST = "MANIFEST.json"  # lies in each export of ours
OURS, ROWS = "our own export", "rows"
READ = {OURS, ROWS, "Parquet"}


def _is_lines(member: Member) -> bool:
    return member.path.suffix == ".jsonl"


def _stem(member: Member) -> PurePosixPath:
    return member.path.with_suffix("")


def _sniffed(member: Member, limit: int) -> str:
    """Which of READ a file is, by its first rows, or why it is none."""
    path = member.path
    if path.name.startswith(".") or path.parts[0] == "__MACOSX":
        return _("hidden")
    try:
        title, rows = _content(_unzipped(member, limit), limit)
        if title == "Parquet" or "JSON" not in title:
            return "Parquet" if title == "Parquet" else ROWS
        return _kind([row.value for row in with_trees(islice(rows, LINES))])
    except NoRows as error:
        return re.split(r"[.:,]", error.what or str(error))[0]


def _kind(values: list[object]) -> str:
    """Whether values are rows: one object among them that is one, or half of them, if they are texts."""
    known = [(value, name) for value in values if (name := _format_of(value))]
    if any(name in ("exported", "labelled") for _, name in known):
        return OURS
    objects = any(isinstance(value, dict) for value, _ in known)
    return ROWS if objects or 2 * len(known) > len(values) else NO_KNOWN


def _format_of(value: object) -> str:
    try:
        return "" if isinstance(value, BadRow) else row_of(value, GUESS)[0]
    except BadRow:
        return ""


def _unzipped(member: Member, limit: int) -> Unpacked:
    """The content of a file in the zip, which may be packed once more, bounded."""
    try:
        file = member.open()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise ImportRefusal(
            _("“{name}” in the zip cannot be unpacked: {error}.").format(
                name=member.path.name, error=error
            )
        ) from error
    return unpacked(io.BufferedReader(Bounded(_Unzipped(file), limit), HEAD), limit)


def _member(member: Member, spent: _Spent) -> Iterator[Row]:
    file = _unzipped(member, spent.left)
    _, rows = _content(file, spent.left)
    for place, value in rows:
        yield Row(f"{member.path.name}, {place}", value)
    spent.left = file.bounded.left


class _Unzipped:
    """A member of a zip, whose damage is told in words."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, size: int, /) -> bytes:
        """So many bytes; raises ImportRefusal where they are damaged."""
        try:
            return self.file.read(size)
        except (zipfile.BadZipFile, RuntimeError) as error:
            raise ImportRefusal(DAMAGED) from error
