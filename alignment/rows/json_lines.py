"""JSON lines: a value a line. Every bad line is one bad row, and the next one is read."""

import ast
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from alignment.rows.found import BadRow
from alignment.seam.words import _

LONGEST_LINE = 1_000_000  # bytes
LONGEST_REPR = 10_000  # characters that are looked at for Python's way of writing
BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line of a file with its number, cut a little behind LONGEST_LINE bytes."""

    number: int
    content: bytes


class Row(NamedTuple):
    """A row of a file: where it stands, and its value or why it has none."""

    place: str
    value: Any  # whatever the file holds, or a BadRow


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """The lines that are not blank; an endless one is never held in memory."""
    number = 0
    while content := file.readline(LONGEST_LINE + len(BOM) + 2):
        number += 1
        rest = content
        while not rest.endswith(b"\n") and (rest := file.readline(LONGEST_LINE)):
            continue
        if not content.isspace():
            yield Line(number, content.removeprefix(BOM) if number == 1 else content)


def rows_of(file: BinaryIO) -> Iterator[Row]:
    """The value of each line that is not blank."""
    decoder = Decoder()
    for number, content in lines_of(file):
        yield Row(f"line {number}", value_of(content, decoder))


def value_of(content: bytes, decoder: "Decoder | None" = None) -> Any:  # noqa: ANN401 - whatever the line holds
    """The value of a line, or what is wrong with it; who reads many brings a decoder."""
    try:
        return _value(content, decoder or Decoder())
    except BadRow as error:
        return error


def _value(content: bytes, decoder: "Decoder") -> Any:  # noqa: ANN401
    if len(content) > LONGEST_LINE and len(content.rstrip(b"\r\n")) > LONGEST_LINE:
        raise BadRow(_("longer than {longest_line:,} bytes").format(longest_line=LONGEST_LINE))
    try:
        text = content.decode().strip()
    except UnicodeDecodeError as error:
        raise BadRow(_("not UTF-8 text")) from error
    decoder.twice.clear()
    try:
        value, end = decoder.raw_decode(text)
        if end < len(text):
            raise BadRow(_("not JSON: more follows after its end; write one value a line"))
    except RecursionError as error:
        raise BadRow(_("not JSON: nested too deeply")) from error
    except ValueError as error:
        if isinstance(error, BadRow):
            raise
        raise BadRow(_reason(text, error)) from error
    return decoder.checked(value)


class Decoder(json.JSONDecoder):
    """JSON in which no column comes twice, since the first one would be lost."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._unique)
        self.twice: list[str] = []

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            names = [name for name, _ in pairs]
            self.twice.append(next(name for name in names if names.count(name) > 1))
        return row

    def checked(self, value: Any) -> Any:  # noqa: ANN401
        """The value just decoded; raises BadRow where a column came twice."""
        if self.twice:
            name, self.twice = self.twice[0], []
            raise BadRow(_("the column “{name}” is in it twice").format(name=name[:40]))
        return value


def _reason(text: str, error: ValueError) -> str:
    """Why a line is not JSON, in words that say what to do."""
    if not isinstance(error, json.JSONDecodeError):
        return "not JSON: a number in it is too long"
    if text.lstrip()[:2] in ("{'", "['") and is_repr(text):
        return "not JSON but Python's way of writing it; write it with json.dumps"
    return f"not JSON: {error.msg} at character {error.pos + 1}"


def is_repr(text: str) -> bool:
    """Whether a text, unless it is long, is a list or an object as Python writes it."""
    try:
        return len(text) <= LONGEST_REPR and isinstance(ast.literal_eval(text.strip()), dict | list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
