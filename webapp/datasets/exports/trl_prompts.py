"""What formats of prompts without answers share."""

from collections.abc import Iterator

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.columns import Columns, ShortColumn
from webapp.datasets.exports.descriptor import CardText, MadeOf
from webapp.datasets.exports.texts import Spelling
from webapp.datasets.snapshots import values_in

CONSUMER = _("TRL's GRPOTrainer and RLOOTrainer, and all that draw answers themselves")
HELP = _("each prompt of the snapshot once, without answers and labels.")
CONFIG = "prompt_only"
READS = ("prompt_key", "split", "messages")  # of a snapshot
KEEPS = frozenset(["turns", "turns_beside", "tools", "tools_beside"])
CARD = CardText(
    row="""\
Each row is a prompt of the
snapshot, once.""",
    columns="`prompt_key` names it in all exports.",
    noun="prompts",
)


def prompts_as(way: Spelling) -> MadeOf:
    """Prompts alone."""

    def columns(labels: pa.RecordBatch) -> Columns:
        asked, tools = way.asked(labels["messages"])
        return {"prompt": asked, "prompt_key": ShortColumn(labels["prompt_key"]), **tools}

    return columns


def prompts_named(labels: pa.RecordBatch) -> Iterator[tuple[str]]:
    """What is there once: a prompt."""
    return zip(values_in(labels["prompt_key"]), strict=True)


def prompt_schema(way: Spelling) -> pa.Schema:
    """The columns, with texts written so."""
    return pa.schema([("prompt", way.type), ("prompt_key", pa.string())])
