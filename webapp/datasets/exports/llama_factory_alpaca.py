"""Preferences for LLaMA-Factory in the columns of Alpaca."""

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import PromptRecord
from webapp.datasets.exports.columns import Columns, TextColumn
from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.llama_factory import (
    COLUMNS,
    CONSUMER,
    KEEPS,
    READER,
    described,
    system_and_talk,
)
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.texts import check_without_tools, prompt_columns
from webapp.datasets.exports.writers import JSON_LINES

CONFIG = "alpaca_preference"
ABOUT = {
    "ranking": True,
    "columns": {
        "prompt": "instruction",
        "query": "input",
        "chosen": "chosen",
        "rejected": "rejected",
        "system": "system",
        "history": "history",
    },
}


def _columns(pairs: pa.RecordBatch) -> Columns:
    """Preferences; raises ExportRefusal for a prompt that has no such columns."""
    asked = prompt_columns(pairs["messages"], _asked)
    return {
        "instruction": asked["instruction"],
        "input": asked["input"],
        **{name: TextColumn(pairs[name]) for name in ("chosen", "rejected")},
        "system": asked["system"],
        "history": asked["history"],
    }


def _asked(prompt: PromptRecord) -> Row:
    check_without_tools(prompt)
    system, talk = system_and_talk(prompt.messages)
    said = [turn.content for turn in talk[:-1]]
    return {
        "instruction": talk[-1].content,
        "input": "",
        "system": system,
        "history": [list(both) for both in zip(said[::2], said[1::2], strict=True)],
    }


FORMAT = ExportFormat(
    name="llama_factory_alpaca",
    title=_("LLaMA-Factory preference, Alpaca"),
    reader=READER,
    consumer=CONSUMER,
    help=_("instruction, chosen and rejected, with the description of the files that it asks for."),
    config=CONFIG,
    found=PREFERENCES.found_in,
    columns=_columns,
    writers=(JSON_LINES,),
    beside=described(CONFIG, ABOUT),
    keeps=KEEPS,
    refuses=frozenset(["tools"]),
    card=CardText(
        row="""\
Each row is a prompt (`instruction`, with earlier turns in `history`)
with a better answer (`chosen`) and a worse one (`rejected`); ties make no row.""",
        columns=COLUMNS,
        noun="pairs",
    ),
)
