"""Answers worth imitating for fine-tuning at OpenAI and whoever takes the same files."""

import json
from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.texts import answer_turns, as_openai, tools_column
from webapp.datasets.exports.trl_completion import KEEPS, imitated_in
from webapp.datasets.exports.writers import JSON_LINES
from webapp.datasets.snapshots import Entry

READER = _("OpenAI")


def rows(entry: Entry) -> Iterator[Row]:
    """Conversations that end with an answer worth imitating."""
    for one in imitated_in(entry):
        turns = as_openai(one.prompt) + answer_turns(one.text)
        yield {"messages": turns, **tools_column(one.prompt)}


def talk_named(row: Row) -> tuple[str, ...]:
    """What is there once: a conversation."""
    return (json.dumps(row["messages"]),)


FORMAT = ExportFormat(
    name="openai_chat",
    title=_("OpenAI fine-tuning, supervised"),
    reader=READER,
    consumer=_(
        "fine-tuning jobs of OpenAI's API with the method “supervised”, and services that take the same"
    ),
    help=_(
        "what people wrote, preferred to all others or found good, as conversations; each once, none without words."
    ),
    config="chat",
    rows=rows,
    once=talk_named,
    writers=(JSON_LINES,),
    keeps=KEEPS,
    card=CardText(
        row="""\
Each row is a conversation (`messages`) that ends with an answer
worth imitating, once: what people wrote, what they preferred to all else that they saw, and what they
found good.""",
        columns="""\
Upload `chat/train.jsonl` for training
and `chat/validation.jsonl` for validation.""",
        noun="conversations",
    ),
)
