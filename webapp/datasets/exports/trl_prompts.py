"""What formats of prompts without answers share."""

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import Becomes, CardText, Row
from webapp.datasets.exports.texts import Spelling
from webapp.datasets.snapshots import Entry

CONSUMER = _("TRL's GRPOTrainer and RLOOTrainer, and all that draw answers themselves")
HELP = _("each prompt of the snapshot once, without answers and labels.")
CONFIG = "prompt_only"
KEEPS = frozenset(["turns", "turns_beside", "tools", "tools_beside"])
CARD = CardText(
    row="""\
Each row is a prompt of the
snapshot, once.""",
    columns="`prompt_key` names it in all exports.",
    noun="prompts",
)


def prompts_as(way: Spelling) -> Becomes:
    """Prompts alone."""

    def rows(entry: Entry) -> list[Row]:
        asked = entry.prompt
        return [{"prompt": way.prompt(asked), "prompt_key": asked.key, **way.beside(asked)}]

    return rows


def prompt_named(row: Row) -> tuple[str, ...]:
    """What is there once: a prompt."""
    return (row["prompt_key"],)


def prompt_schema(way: Spelling) -> pa.Schema:
    """The columns, with texts written so."""
    return pa.schema([("prompt", way.type), ("prompt_key", pa.string())])
