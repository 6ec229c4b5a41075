"""Preferences for DPO at OpenAI and whoever takes the same files."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from alignment.seam.tools import tools_of
from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.openai_chat import READER
from webapp.datasets.exports.texts import answer_turns, as_openai
from webapp.datasets.exports.writers import JSON_LINES
from webapp.datasets.snapshots import Entry


def rows(entry: Entry) -> Iterator[Row]:
    """Preferences, each with what was asked and the two outputs."""
    for pair in entry.pairs:
        yield {
            "input": {
                "messages": as_openai(pair.prompt),
                "tools": tools_of(pair.prompt.messages),
                "parallel_tool_calls": True,
            },
            "preferred_output": answer_turns(pair.chosen),
            "non_preferred_output": answer_turns(pair.rejected),
        }


FORMAT = ExportFormat(
    name="openai_preference",
    title=_("OpenAI fine-tuning, DPO"),
    reader=READER,
    consumer=_(
        "fine-tuning jobs of OpenAI's API with the method “dpo”, and services that take the same"
    ),
    help=_("what was asked, with the preferred and the other output."),
    config="preference",
    rows=rows,
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
