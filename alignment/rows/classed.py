"""Rows of a text and its class."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from alignment.rows.corpora import BadLine, Seen
from alignment.rows.found import BadRow
from alignment.rows.tables import Table, TableRow, table_rows
from alignment.rows.texts import text_of
from alignment.seam.records import ClassedRecord, Message, PromptRecord, prompt_key
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
