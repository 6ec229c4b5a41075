"""Tables as files that spreadsheets open."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from django.http import StreamingHttpResponse

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # as spreadsheets know one


def as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def sheet_of(
    name: str, columns: Sequence[str], parts: Iterable[Iterable[Sequence[object]]]
) -> StreamingHttpResponse:
    """A CSV file of this name, sent while its rows are read, some at a time; no text in it is a formula."""
    response = StreamingHttpResponse(_lines(columns, parts), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(columns: Sequence[str], parts: Iterable[Iterable[Sequence[object]]]) -> Iterator[str]:
    yield _written([columns])
    for rows in parts:
        yield _written([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    return as_text(value) if isinstance(value, str) else value


def _written(rows: Iterable[Sequence[object]]) -> str:
    part = StringIO()
    csv.writer(part).writerows(rows)
    return part.getvalue()
