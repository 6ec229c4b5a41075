"""Preferences for LLaMA-Factory as conversations of ShareGPT."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.llama_factory import (
    COLUMNS,
    CONSUMER,
    KEEPS,
    READER,
    described,
    system_and_talk,
)
from webapp.datasets.exports.writers import JSON_LINES
from webapp.datasets.snapshots import Entry

CONFIG = "sharegpt_preference"
SPEAKERS = {"user": "human", "assistant": "gpt"}
ABOUT = {
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {
        "messages": "conversations",
        "chosen": "chosen",
        "rejected": "rejected",
        "system": "system",
    },
}


def rows(entry: Entry) -> Iterator[Row]:
    """Preferences; raises ExportRefusal for a prompt that is no such conversation."""
    for pair in entry.pairs:
        system, talk = system_and_talk(pair.prompt.messages)
        yield {
            "conversations": [_said(turn.role, turn.content) for turn in talk],
            "chosen": _said("assistant", pair.chosen),
            "rejected": _said("assistant", pair.rejected),
            "system": system,
        }


def _said(role: str, text: str) -> dict[str, str]:
    return {"from": SPEAKERS[role], "value": text}


FORMAT = ExportFormat(
    name="llama_factory_sharegpt",
    title=_("LLaMA-Factory preference, ShareGPT"),
    reader=READER,
    consumer=CONSUMER,
    help=_("conversations with a chosen and a rejected answer, with the description of the files."),
    config=CONFIG,
    rows=rows,
    writers=(JSON_LINES,),
    beside=described(CONFIG, ABOUT),
    keeps=KEEPS,
    card=CardText(
        row="""\
Each row is a conversation (`conversations`) with a better answer
(`chosen`) and a worse one (`rejected`); ties make no row.""",
        columns=COLUMNS,
        noun="pairs",
    ),
)
