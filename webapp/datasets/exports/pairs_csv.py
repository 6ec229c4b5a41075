"""Preferences as a table that a spreadsheet may open."""

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import PromptRecord
from alignment.seam.tools import written_json
from webapp.datasets.exports.columns import Columns, TextColumn
from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.raw_labels import FORMAT as RAW
from webapp.datasets.exports.texts import prompt_columns
from webapp.datasets.exports.trl_preference import BESIDE, CARD, KEEPS, columns_beside
from webapp.datasets.exports.writers import TABLE

COLUMNS = """
Where a prompt has several turns, `prompt` is the user's last one and `messages` all of them, as JSON. A cell that a
spreadsheet would compute has an apostrophe before it, and `marked` names its column."""


def _columns(pairs: pa.RecordBatch) -> Columns:
    """Preferences as cells."""
    sides = {name: TextColumn(pairs[name]) for name in ("chosen", "rejected")}
    return {**prompt_columns(pairs["messages"], _asked), **sides, **columns_beside(pairs)}


def _asked(prompt: PromptRecord) -> Row:
    several = len(prompt.messages) > 1 or prompt.uses_tools
    return {"prompt": prompt.text, "messages": written_json(_turns(prompt)) if several else ""}


def _turns(prompt: PromptRecord) -> list[Row]:
    return [turn.model_dump() for turn in prompt.messages]


FORMAT = ExportFormat(
    name="pairs_csv",
    title=_("Pairs as CSV"),
    reader=RAW.reader,
    consumer=_("spreadsheets"),
    help=_("a preference a row; no cell is taken for a formula."),
    config="pairs",
    schema=pa.schema(
        [*((name, pa.string()) for name in ("prompt", "messages", "chosen", "rejected")), *BESIDE]
    ),
    found=PREFERENCES.found_in,
    columns=_columns,
    writers=(TABLE,),
    keeps=KEEPS,
    card=CardText(CARD.row, CARD.columns + COLUMNS, CARD.noun),
)
