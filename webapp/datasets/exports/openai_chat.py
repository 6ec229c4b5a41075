"""Answers worth imitating for fine-tuning at OpenAI and whoever takes the same files."""

from collections.abc import Iterator

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.columns import Columns
from webapp.datasets.exports.descriptor import CardText, ExportFormat
from webapp.datasets.exports.texts import MESSAGES, as_openai
from webapp.datasets.exports.trl_completion import KEEPS, imitated_found
from webapp.datasets.exports.writers import JSON_LINES
from webapp.datasets.snapshots import values_in

READER = _("OpenAI")


TURNS = MESSAGES._replace(prompt=as_openai)


def _columns(imitated: pa.RecordBatch) -> Columns:
    """Conversations that end with an answer worth imitating."""
    asked, tools = TURNS.asked(imitated["messages"])
    return {"messages": asked.ended(map(TURNS.answer, values_in(imitated["text"]))), **tools}


def _talks_named(imitated: pa.RecordBatch) -> Iterator[tuple[str, str]]:
    """What is there once: a conversation."""
    asked, _tools = TURNS.asked(imitated["messages"])
    return zip(asked.texts(), values_in(imitated["text"]), strict=True)


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
    found=imitated_found,
    columns=_columns,
    once=_talks_named,
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
