"""Preferences for LLaMA-Factory as conversations of ShareGPT."""

import json

import pyarrow as pa
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alignment.seam.records import Message, PromptRecord
from alignment.seam.tools import tools_of, written_json
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.columns import Column, Columns, DistinctColumn
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
from webapp.datasets.exports.texts import prompt_columns
from webapp.datasets.exports.writers import JSON_LINES
from webapp.datasets.snapshots import values_in

CONFIG = "sharegpt_preference"
SPEAKERS = {"user": "human", "assistant": "gpt", "tool": "observation"}
ABOUT = {
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {
        "messages": "conversations",
        "chosen": "chosen",
        "rejected": "rejected",
        "system": "system",
        "tools": "tools",
    },
}


def _columns(pairs: pa.RecordBatch) -> Columns:
    """Preferences; raises ExportRefusal for a prompt that is no such conversation."""
    asked = prompt_columns(pairs["messages"], _asked)
    return {
        "conversations": asked["conversations"],
        **{name: _answers(pairs[name]) for name in ("chosen", "rejected")},
        "system": asked["system"],
        "tools": asked["tools"],
    }


def _asked(prompt: PromptRecord) -> Row:
    system, talk = system_and_talk(prompt.messages)
    return {
        "conversations": list(map(_turn, talk)),
        "system": system,
        "tools": _described(prompt),
    }


def _answers(texts: pa.Array) -> Column:
    return DistinctColumn.each(_said("assistant", text) for text in values_in(texts))


def _turn(turn: Message) -> dict[str, str]:
    """A turn; its calls take the place of words, of which it can have none then."""
    if not turn.tool_calls:
        return _said(turn.role, turn.content)
    if turn.content:
        raise ExportRefusal(
            _(
                "In some prompts a turn calls a tool and speaks besides, which LLaMA-Factory does not read. "
                "Export to TRL as lists of messages instead."
            )
        )
    calls = [{"name": one.name, "arguments": json.loads(one.arguments)} for one in turn.tool_calls]
    return {"from": "function_call", "value": written_json(calls if len(calls) > 1 else calls[0])}


def _described(prompt: PromptRecord) -> str:
    """The tools as the text of a list of functions, "" for none."""
    functions = [tool["function"] for tool in tools_of(prompt.messages)]
    return written_json(functions) if functions else ""


def _said(role: str, text: str) -> dict[str, str]:
    return {"from": SPEAKERS[role], "value": text}


FORMAT = ExportFormat(
    name="llama_factory_sharegpt",
    title=gettext_lazy("LLaMA-Factory preference, ShareGPT"),
    reader=READER,
    consumer=CONSUMER,
    help=gettext_lazy(
        "conversations with a chosen and a rejected answer, with the description of the files."
    ),
    config=CONFIG,
    found=PREFERENCES.found_in,
    columns=_columns,
    writers=(JSON_LINES,),
    beside=described(CONFIG, ABOUT),
    keeps=KEEPS | {"tools"},
    card=CardText(
        row="""\
Each row is a conversation (`conversations`) with a better answer
(`chosen`) and a worse one (`rejected`); ties make no row.""",
        columns=COLUMNS,
        noun="pairs",
    ),
)
