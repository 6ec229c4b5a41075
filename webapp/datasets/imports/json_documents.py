"""JSON that is not line by line: an array, values one after the other, or one object around the rows.

An array is read a value at a time by the standard library's scanner, which says what it found wrong and
alters no text; only an object around rows is held whole.
"""

import codecs
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO, TypeGuard

from django.utils.translation import gettext as _

from alignment.rows.found import BadRow
from alignment.rows.json_lines import LONGEST_LINE, Decoder, Row, value_of
from alignment.rows.prompts import ASKING, named
from webapp.datasets.errors import ImportRefusal, NoRows

AROUND = (
    "data",
    "rows",
    "prompts",
    "examples",
    "instances",
    "items",
    "samples",
    "records",
    "train",
)
LINES = 50  # that are looked at behind a first one that cannot be read
LONGEST_OBJECT = 16_000_000  # characters of one object around the rows
CHUNK = 1 << 16
NUMBER = 32  # characters: a number near the edge may go on
SPACE = " \t\r\n"


def begins(head: bytes, line: Any) -> bool:  # noqa: ANN401
    """Whether a file that begins so is one document rather than lines; `line` is its first one's value."""
    text = head.decode(errors="replace").strip("\ufeff" + SPACE)
    if not isinstance(line, BadRow):
        return "\n" not in text and _holds_rows(line)
    if _parts_at_lines(text):
        return False
    if text[:1] == "[" and text[1:].lstrip(SPACE)[:1] in ("[", "{", '"', ""):
        return "\n" in text or len(text) > 2  # lines of lists are whole, or bad one by one
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        # A first line that breaks by itself is a bad line; one that goes on below is a document.
        cut = error.pos >= len(text) - 64 or error.msg.startswith("Unterminated")
        return LONGEST_LINE < len(head) <= LONGEST_OBJECT and cut
    except (RecursionError, ValueError):
        return False
    return end <= LONGEST_OBJECT and text[end:].lstrip(SPACE)[:1] in ("", "{", "[")


def _parts_at_lines(text: str) -> bool:
    """Whether no value goes on past the first line, and a later line is a whole one."""
    first, _, rest = text.partition("\n")
    second = len(text) - len(rest.lstrip(SPACE))
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        end = error.pos
    except (RecursionError, ValueError):
        end = len(first)
    if not rest or end > second:
        return False
    lines = islice((line for line in rest.split("\n") if line.strip()), LINES)
    return any(isinstance(value_of(line.encode()), dict | list | str) for line in lines)


def _holds_rows(value: object) -> bool:
    """Whether the only line of a file is more than a row."""
    if isinstance(value, list):
        first = value[0] if value else None
        return not (isinstance(first, dict) and _is_turn(first))
    return isinstance(value, dict) and (_columns(value) is not None or bool(_inside(value)))


def _inside(document: dict[str, Any]) -> str:
    """The name under which an object holds its rows."""
    name = next((name for name in AROUND if isinstance(document.get(name), list)), "")
    return "" if any(document.get(other) for other in ASKING) else name


class Scanner:
    """Values out of a stream of text, of which only the current one is held."""

    def __init__(self, file: BinaryIO, longest: int) -> None:
        self.file, self.longest = file, longest
        self.decoder = Decoder()
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.text, self.at, self.passed, self.ended = "", 0, 0, False

    def peek(self, skipped: str = SPACE) -> str:
        """The next character that is not skipped; nothing at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in skipped:
                    return self.text[self.at]
                self.at += 1
            if self.ended:
                return ""
            self._more(CHUNK)

    def value(self) -> Any:  # noqa: ANN401 - whatever the file holds
        """The value that begins here; raises ImportRefusal where there is none."""
        size = CHUNK
        while True:
            value, end = self._decoded()
            if end and (end < len(self.text) - NUMBER or self.ended):
                self.at = end
                return self._checked(value)
            if len(self.text) - self.at > self.longest:
                raise ImportRefusal(
                    self.damaged(_("longer than {n:,} bytes").format(n=self.longest), self.at)
                )
            self.decoder.twice.clear()
            self._more(size)
            size *= 2

    def _decoded(self) -> tuple[Any, int]:
        """The value that begins here and where it ends: at 0 where its end is not there yet."""
        try:
            return self.decoder.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            if self.ended or not self._cut(error):
                raise ImportRefusal(self.damaged(error.msg, error.pos)) from error
            return None, 0
        except RecursionError as error:
            raise ImportRefusal(self.damaged(_("nested too deeply"), self.at)) from error
        except ValueError as error:
            raise ImportRefusal(self.damaged(_("a number is too long"), self.at)) from error

    def _checked(self, value: Any) -> Any:  # noqa: ANN401
        try:
            return self.decoder.checked(value)
        except BadRow as error:
            return error

    def _cut(self, error: json.JSONDecodeError) -> bool:
        """Whether more text could mend it."""
        return error.pos >= len(self.text) - 12 or error.msg.startswith("Unterminated")

    def _more(self, size: int) -> None:
        self.passed += self.at
        content = self.file.read(size)
        self.ended = not content
        try:
            self.text = self.text[self.at :] + self.decode(content, final=self.ended)
        except UnicodeDecodeError as error:
            raise ImportRefusal(_("The file is not UTF-8 text. Save it as UTF-8.")) from error
        self.at = 0

    def damaged(self, what: str, at: int) -> str:
        """Where the text is no JSON, and what to do."""
        place = self.passed + at + 1
        if self.text[at : at + 1] == "'":
            what = _("this is Python's way of writing it; write it with json.dumps")
        return _(
            "The JSON is damaged at character {place:,} of the file ({what}), and what follows "
            "cannot be told apart. Mend it, or write one value a line: then single lines can be "
            "left out."
        ).format(place=place, what=what)


def rows_of(file: BinaryIO) -> Iterator[Row]:
    """The rows of an array, of values one after the other, or of the object around them."""
    scanner = Scanner(file, LONGEST_OBJECT)
    if scanner.peek() == "[":
        scanner.at += 1
        scanner.longest = LONGEST_LINE
        yield from _array(scanner)
        return
    first = scanner.value()
    scanner.longest = LONGEST_LINE
    if scanner.peek():
        yield Row("value 1", first)
        yield from _values(scanner, 2)
        return
    inside = around(first)
    for number, value in enumerate(inside, start=1):
        yield Row(f"row {number}", value)


def _array(scanner: Scanner) -> Iterator[Row]:
    number = 0
    while (next_ := scanner.peek()) != "]":
        if number:
            if next_ != ",":
                raise ImportRefusal(scanner.damaged(_("a comma or “]” is missing"), scanner.at))
            scanner.at += 1
            scanner.peek()
        number += 1
        yield Row(f"element {number}", scanner.value())
    scanner.at += 1
    if scanner.peek():
        raise ImportRefusal(scanner.damaged(_("more follows after the array"), scanner.at))


def _values(scanner: Scanner, number: int) -> Iterator[Row]:
    while scanner.peek():
        yield Row(f"value {number}", scanner.value())
        number += 1


def around(document: Any) -> list[Any]:  # noqa: ANN401
    """The rows inside one object: a list of them under a known name, or a list for each column."""
    if not isinstance(document, dict):
        return [document]
    if (columns := _columns(document)) is not None:
        return columns
    if name := _inside(document):
        outer = {key: value for key, value in document.items() if key != name}
        return [_within(outer, inner) for inner in document[name]]
    if not any(other in document for other in (*ASKING, "chosen", "conversation_a")):
        raise NoRows(
            _(
                "The file is one JSON object without rows: it holds {named}. Put the rows in a list, "
                "or write one a line."
            ).format(named=named(document)),
            _("one JSON object without rows"),
        )
    return [document]


def _is_turn(value: Mapping[str, object]) -> bool:
    """Whether an object is a turn of a conversation, and no row."""
    return bool({"role", "from"} & value.keys()) and "prompt" not in value


def _within(outer: dict[str, Any], inner: Any) -> Any:  # noqa: ANN401
    if isinstance(inner, dict) and isinstance(inner.get("row"), dict) and "row_idx" in inner:
        inner = inner["row"]
    return outer | inner if isinstance(inner, dict) else inner


def _columns(document: dict[str, Any]) -> list[Any] | None:
    """The rows of an object that holds a list, or an object by row, for each column."""
    first = next((document[name] for name in ASKING if document.get(name)), None)
    columns = list(document.values())
    if _are_lists(first, columns):
        return [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]
    if _are_objects(first, columns):
        return [{name: document[name][row] for name in document} for row in first]
    return None


def _are_lists(first: Any, columns: list[Any]) -> bool:  # noqa: ANN401
    if not isinstance(first, list) or not first or not isinstance(first[0], str | list):
        return False
    return all(isinstance(column, list) and len(column) == len(first) for column in columns)


def _are_objects(first: Any, columns: list[Any]) -> TypeGuard[dict[str, Any]]:  # noqa: ANN401
    if not isinstance(first, dict) or not first or first.keys() & {"role", "text"}:
        return False
    return all(isinstance(column, dict) and column.keys() == first.keys() for column in columns)
