"""Rows of a text and its class."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from alignment.rows.corpora import BadLine, Seen
from alignment.rows.found import BadRow
from alignment.rows.tables import Table, TableRow, table_rows
from alignment.rows.texts import text_of
from alignment.seam.records import (
    ClassedRecord,
    Message,
    PromptRecord,
    SpanRecord,
    TaggedRecord,
    prompt_key,
)
from alignment.seam.words import _

LONGEST_CLASS = 100  # characters


class ClassedColumns(NamedTuple):
    """Which columns hold the text and its class, and which its prompt, if any does."""

    text: str
    classed: str
    prompt: str = ""

    @property
    def names(self) -> list[str]:
        """All that are read, each once."""
        return list(dict.fromkeys(filter(None, self)))


def classed_rows(
    path: Path, columns: ClassedColumns, seen: Seen = lambda _bytes: None
) -> Iterator[ClassedRecord | BadLine]:
    """Each row of a table as a text with its class, or why it is none; raises as `table_rows`."""
    for row in table_rows(Table(path, columns.names), seen):
        yield row if isinstance(row, BadLine) else _classed(row, columns)


def tagged_rows(
    path: Path, columns: ClassedColumns, seen: Seen = lambda _bytes: None
) -> Iterator[TaggedRecord | BadLine]:
    """Each row of a table as words with their tags, or why it is none; raises as `table_rows`."""
    for row in table_rows(Table(path, columns.names), seen):
        yield row if isinstance(row, BadLine) else _tagged(row, columns)


def span_rows(
    path: Path, columns: ClassedColumns, seen: Seen = lambda _bytes: None
) -> Iterator[SpanRecord | BadLine]:
    """Each row of a table as a question and its answer in a text, or why it is none; raises as `table_rows`."""
    for row in table_rows(Table(path, columns.names), seen):
        yield row if isinstance(row, BadLine) else _span(row, columns)


def _tagged(row: TableRow, columns: ClassedColumns) -> TaggedRecord | BadLine:
    column = columns.text
    try:
        words = [text_of(one, f"“{column}”") for one in _list(row.values, column)]
        column = columns.classed
        tags = [class_of(one, column) for one in _list(row.values, column)]
        if len(words) != len(tags):
            raise BadRow(
                _("{tags} tags for {words} words").format(tags=len(tags), words=len(words))
            )
    except BadRow as error:
        return BadLine(f"{row.place}, column {column}", str(error))
    return TaggedRecord(words=tuple(words), tags=tuple(tags))


def _list(values: Mapping[str, Any], column: str) -> list[object]:
    """A list, which a cell of plain text holds with spaces between; raises BadRow for anything else."""
    found = _there(values, column)
    found = found.split() if isinstance(found, str) else found
    if not isinstance(found, list) or not found:
        raise BadRow(_("“{column}” is no list of words").format(column=column))
    return found


def _span(row: TableRow, columns: ClassedColumns) -> SpanRecord | BadLine:
    column = columns.text
    try:
        text = text_of(_there(row.values, column), f"“{column}”")
        column = columns.prompt
        question = text_of(_there(row.values, column), f"“{column}”")
        column = columns.classed
        answer, start = _answer(_there(row.values, column), text, column)
    except BadRow as error:
        return BadLine(f"{row.place}, column {column}", str(error))
    return SpanRecord(question=question, text=text, start=start, end=start + len(answer))


def _answer(value: Any, text: str, column: str) -> tuple[str, int]:  # noqa: ANN401 - whatever a row holds
    """An answer and where it begins: a text that is in the other, or SQuAD's lists; raises BadRow."""
    start = -1
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
        first = texts[0] if isinstance(texts, list) and texts else texts
        start = starts[0] if isinstance(starts, list) and starts else -1
        value = first
    answer = text_of(value, f"“{column}”").strip()
    if not isinstance(start, int) or start < 0 or text[start : start + len(answer)] != answer:
        start = text.find(answer)
    if start < 0:
        raise BadRow(_("the answer is not in the text"))
    return answer, start


def _classed(row: TableRow, columns: ClassedColumns) -> ClassedRecord | BadLine:
    column = columns.text
    try:
        text = text_of(_there(row.values, column), f"“{column}”")
        column = columns.classed
        name = class_of(_there(row.values, column), column)
        column = columns.prompt
        prompt = _prompt(text_of(_there(row.values, column), f"“{column}”")) if column else None
    except BadRow as error:
        return BadLine(f"{row.place}, column {column}", str(error))
    return ClassedRecord(prompt=prompt or alone(text), completion=text, votes={name: 1})


def _there(values: Mapping[str, Any], column: str) -> object:
    """A value; raises BadRow where there is none."""
    if values.get(column) is None:
        raise BadRow(_("there is no “{column}”").format(column=column))
    return values[column]


def class_of(value: object, column: str) -> str:
    """The name of a class: a word, a number or true and false; raises BadRow for anything else."""
    known = isinstance(value, bool | int)
    name = str(value).lower() if known else text_of(value, f"“{column}”").strip()
    if len(name) > LONGEST_CLASS or not name.isprintable():
        raise BadRow(
            _("“{column}” is no name of a class: at most {n} letters that can be seen").format(
                column=column, n=LONGEST_CLASS
            )
        )
    return name


def alone(text: str) -> PromptRecord:
    """In place of the prompt of a text that has none; equal texts share it."""
    return PromptRecord(key=sha256(text.encode()).hexdigest(), messages=())


def _prompt(text: str) -> PromptRecord:
    turns = (Message(role="user", content=text),)
    return PromptRecord(key=prompt_key(turns), messages=turns)
