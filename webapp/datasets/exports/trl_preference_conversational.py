"""Preferences for TRL with an explicit prompt, texts as lists of messages."""

from collections.abc import Iterator

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import LabelRecord
from webapp.datasets.exports.descriptor import ExportFormat, Row
from webapp.datasets.exports.trl_preference import (
    CARD,
    CONFIG,
    CONSUMER,
    KEEPS,
    columns_beside,
    schema_of,
)
from webapp.datasets.snapshots import is_pair

TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def rows(label: LabelRecord) -> Iterator[Row]:
    """A preference as lists of messages."""
    if is_pair(label):
        yield {
            "prompt": [turn.model_dump() for turn in label.prompt.messages],
            "chosen": [{"role": "assistant", "content": label.chosen}],
            "rejected": [{"role": "assistant", "content": label.rejected}],
        } | columns_beside(label)


FORMAT = ExportFormat(
    name="trl_preference_conversational",
    title=_("TRL preference, lists of messages"),
    consumer=CONSUMER,
    help=_("the trainer's chat template is applied; prompts of several turns stay whole."),
    config=CONFIG,
    schema=schema_of(TURNS),
    rows=rows,
    keeps=KEEPS,
    card=CARD,
)
