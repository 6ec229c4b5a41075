"""Tables of text: CSV and TSV with a first row that names the columns.

An empty cell is a missing value, since a table cannot say which of the two it is.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from django.utils.translation import gettext as _

from alignment.rows.answers import LISTS, TALKS, is_answer, side_of
from alignment.rows.cells import MARKED
from alignment.rows.found import BadRow
from alignment.rows.json_lines import Row, is_repr
from alignment.rows.prompts import ASKING
from webapp.datasets.errors import ImportRefusal

SEPARATORS = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV"}
KNOWN = {*ASKING, *TALKS, "chosen", "rejected"}
NESTED = {*LISTS, *TALKS, "messages", "models", "scores", "ranks"}  # JSON in a cell
MOST_COLUMNS = 10_000
SNIFFED, FIRST = (
    65_536,
    20,
)  # bytes and rows that are looked at where no column is known by its name
ESCAPED = "surrogateescape"  # bytes that are no text are found in the cell that has them
LONGEST_HEADER = 60  # characters of such a column's
LONGEST_CELL = 16_000_000  # characters
HINT = re.compile(rb'\s*"?sep=([,;\t])"?[ ]*(?:\r\n?|\n)', re.IGNORECASE)  # what spreadsheets write
TURNS = re.compile(r"\[\s*\{\s*'(role|content|from|value)'")
csv.field_size_limit(LONGEST_CELL)


def separator_of(first: bytes) -> str:
    """What stands between the columns of a first row that names some we know; nothing otherwise."""
    line = re.split("\r|\n", first.decode(errors="replace").strip())[0]
    known = {separator: _known(line, separator) for separator in SEPARATORS}
    best = max(known, key=lambda separator: known[separator])
    return best if known[best] else ""


def regular_separator(head: bytes) -> str:
    """What stands between columns whose names say nothing: as often in each of the first rows, each name once."""
    text = head.decode(errors="replace")
    whole = text if len(head) < SNIFFED else text[: text.rfind("\n")]
    for separator in SEPARATORS:
        try:
            rows = list(
                islice(csv.reader(io.StringIO(whole), delimiter=separator, strict=True), FIRST)
            )
        except csv.Error:
            continue
        header = [name.strip() for name in rows[0]] if rows else []
        names = all(name and len(name) <= LONGEST_HEADER for name in header)
        sizes = {len(row) for row in rows if row}
        if (
            len(rows) > 1
            and len(header) > 1
            and names
            and len({*header}) == len(header)
            and sizes == {len(header)}
        ):
            return separator
    return ""


def knows(head: bytes, separator: bytes) -> bool:
    """Whether a first row, with this between its columns, names some we know."""
    line = re.split("\r|\n", head.decode(errors="replace").strip())[0]
    return _known(line, separator.decode()) > 0


def _known(line: str, separator: str) -> int:
    try:
        header = next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return 0
    names = [name.strip().lower() for name in header]
    return sum(name in KNOWN or bool(side_of(name)) for name in names)


def rows_of(file: BinaryIO, separator: str) -> Iterator[Row]:
    """Each row of the table as an object; rows are counted as a spreadsheet does."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors=ESCAPED, newline="")
    table = csv.reader(text, delimiter=separator, strict=True)  # cells keep their line ends
    number = 0
    header: list[str] = []
    try:
        for number, cells in enumerate(table, start=1):
            _check_encoding(number, cells, header)
            if not header:
                header = _header(cells) if any(map(str.strip, cells)) else []
            elif cells:
                yield Row(f"row {number}", _row(header, cells))
    except csv.Error as error:
        if "field limit" in str(error):
            raise ImportRefusal(
                _(
                    "The table has a cell of more than {longest_cell:,} characters at row {number}, or a "
                    "quotation mark there never closes. Shorten or mend it."
                ).format(longest_cell=LONGEST_CELL, number=number + 1)
            ) from error
        raise ImportRefusal(
            _(
                "The table is damaged at row {number} ({error}): a quotation mark opens or closes in "
                "the wrong place, and what follows cannot be told apart."
            ).format(number=number + 1, error=error)
        ) from error
    finally:
        text.detach()


def _check_encoding(number: int, cells: list[str], header: list[str]) -> None:
    """Raise ImportRefusal where a cell of a row holds bytes that are no UTF-8."""
    if _is_decoded("".join(cells)):
        return
    place = next(place for place, cell in enumerate(cells) if not _is_decoded(cell))
    column = header[place] if place < len(header) and header[place] else place + 1
    raise ImportRefusal(
        _(
            "The table is not UTF-8 text: see row {number}, column {column}. Save it as “CSV UTF-8”, as "
            "spreadsheets call it."
        ).format(number=number, column=column)
    )


def _is_decoded(text: str) -> bool:
    """Whether no byte of a text is escaped."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(names) > MOST_COLUMNS:
        raise ImportRefusal(
            _("The table has more than {most_columns:,} columns.").format(most_columns=MOST_COLUMNS)
        )
    times = Counter(name for name in names if name)
    if len(times) < sum(times.values()):
        ((twice, _times),) = times.most_common(1)
        raise ImportRefusal(
            _("The table has two columns “{twice}”. Rename one of them.").format(twice=twice[:40])
        )
    return names


def _row(header: list[str], cells: list[str]) -> dict[str, Any] | BadRow:
    if len(cells) != len(header):
        return BadRow(
            _("{cells} cells, where the first row names {columns} columns").format(
                cells=len(cells), columns=len(header)
            )
        )
    if MARKED in header:  # an export of ours: its reader knows what a cell means
        return dict(zip(header, cells, strict=True))
    named = [(name, _cell(name.lower(), cell)) for name, cell in zip(header, cells, strict=True)]
    bad = next((value for _, value in named if isinstance(value, BadRow)), None)
    there = {
        name or "(no name)": value
        for name, value in named
        if value is not None or is_answer(name.lower())  # a missing answer is told
    }
    return bad or there


def _cell(name: str, cell: str) -> Any:  # noqa: ANN401 - text, or the JSON in it
    """The text of a cell, or the list in it where its column holds lists or messages."""
    if TURNS.match(cell) and is_repr(cell):
        return BadRow(
            _("“{name}” holds messages as Python writes them: use json.dumps").format(
                name=name[:40]
            )
        )
    if cell[:1] not in "[{" or not (name in NESTED or '"role"' in cell or '"from"' in cell):
        return cell or None
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return cell or None
    messages = isinstance(value, list) and all(isinstance(one, dict) for one in value)
    return value if name in NESTED or messages else cell
