"""A toy format of export: each answer by itself, with whether it was the better one; ties are kept as neither."""

from typing import NamedTuple

import pyarrow as pa

from alignment.seam.records import PromptRecord
from webapp.datasets.exports.columns import ShortColumn, TextColumn
from webapp.datasets.exports.descriptor import CardText, ExportFormat
from webapp.datasets.exports.statements import Statements
from webapp.datasets.exports.texts import prompt_columns


class Side(NamedTuple):
    """An answer, and whether it was the better one."""

    prompt: PromptRecord
    text: str
    good: bool | None


def sides_of(entry):
    """Two of each comparison."""
    for label in entry.records:
        paired = label.kind == "pair"
        texts = (label.chosen, label.rejected) if paired else (label.left, label.right)
        for text, good in zip(texts, (True, False) if paired else (None, None), strict=True):
            yield Side(label.prompt, text, good)


SIDES = Statements(sides_of, texts=("text",), beside=(("good", pa.bool_()),))


def columns(said):
    """As cells."""
    asked = prompt_columns(said["messages"], lambda prompt: {"prompt": prompt.text})
    return {**asked, "completion": TextColumn(said["text"]), "label": ShortColumn(said["good"])}


FORMAT = ExportFormat(
    name="unpaired",
    title="Answers one by one",
    reader="Toys",
    consumer="those who learn from single answers",
    help="whatever was said of each.",
    config="unpaired",
    schema=pa.schema([("prompt", pa.string()), ("completion", pa.string()), ("label", pa.bool_())]),
    found=SIDES.found_in,
    columns=columns,
    keeps=frozenset(["ties"]),
    card=CardText(
        "Each row is a prompt with an answer (`completion`).",
        "`label` is empty for ties.",
        "answers",
    ),
)
