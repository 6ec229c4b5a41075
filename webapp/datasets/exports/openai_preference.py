"""Preferences for DPO at OpenAI and whoever takes the same files."""

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import PromptRecord
from alignment.seam.tools import tools_of
from webapp.datasets.exports.columns import AnswerColumn, Columns
from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.openai_chat import READER
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.texts import as_openai, prompt_columns
from webapp.datasets.exports.writers import JSON_LINES


def _columns(pairs: pa.RecordBatch) -> Columns:
    """Preferences, each with what was asked and the two outputs."""
    return {
        **prompt_columns(pairs["messages"], _input),
        "preferred_output": AnswerColumn(pairs["chosen"]),
        "non_preferred_output": AnswerColumn(pairs["rejected"]),
    }


def _input(prompt: PromptRecord) -> Row:
    tools = tools_of(prompt.messages)
    return {"input": {"messages": as_openai(prompt), "tools": tools, "parallel_tool_calls": True}}


FORMAT = ExportFormat(
    name="openai_preference",
    title=_("OpenAI fine-tuning, DPO"),
    reader=READER,
    consumer=_(
        "fine-tuning jobs of OpenAI's API with the method “dpo”, and services that take the same"
    ),
    help=_("what was asked, with the preferred and the other output."),
    config="preference",
    found=PREFERENCES.found_in,
    columns=_columns,
    writers=(JSON_LINES,),
    keeps=frozenset(["preferences", "pairings", "turns", "tools"]),
    card=CardText(
        row="""\
Each row is what was asked (`input`) with a better answer
(`preferred_output`) and a worse one (`non_preferred_output`); ties make no row.""",
        columns="""\
Upload `preference/train.jsonl` for training
and `preference/validation.jsonl` for validation.""",
        noun="pairs",
    ),
)
