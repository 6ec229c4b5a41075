"""What formats of preferences for TRL share: whom they are for, and the columns beside the texts.

`alignment.rows.exported` reads them back.
"""

from dataclasses import replace
from typing import Any

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.columns import Columns, ShortColumn
from webapp.datasets.exports.descriptor import CardText, MadeOf
from webapp.datasets.exports.texts import Spelling
from webapp.datasets.snapshots import values_in

READER = _("TRL")
CONSUMER = _("TRL's DPOTrainer and RewardTrainer, and all that read their format")
CONSUMER_OF_TALKS = _("TRL's RewardTrainer, and all that read whole conversations")
CONFIG = "preference"
IMPLICIT = "implicit"  # of the other config
KEEPS = frozenset(
    ["preferences", "pairings", "strengths", "sides", "annotators", "groups", "turns", "tools"]
)
CARD = CardText(
    row="""\
Each row is a prompt with a better answer (`chosen`) and a worse
one (`rejected`); ties make no row, and the two answers always differ.""",
    columns="""\
`group` is the same for pairs of one
ranking, which should stay together when you split further. `strength` says how much better: 1
slightly, 2 better, 3 much better. `annotator` is a pseudonym, or `import` where a ranking came from
a file.""",
    noun="pairs",
)
SIDES = ("chosen", "rejected")
BESIDE = (
    ("prompt_key", pa.string()),
    ("group", pa.string()),
    ("strength", pa.int8()),
    ("annotator", pa.string()),
    ("left_won", pa.bool_()),
)


def columns_beside(pairs: pa.RecordBatch) -> Columns:
    """What preferences say besides their texts."""
    return {name: ShortColumn(pairs[name]) for name, _type in BESIDE}


def explicit_in(way: Spelling) -> MadeOf:
    """Preferences with a prompt of its own."""

    def columns(pairs: pa.RecordBatch) -> Columns:
        asked, tools = way.asked(pairs["messages"])
        sides = {name: way.answers(pairs[name]) for name in SIDES}
        return {"prompt": asked, **sides, **columns_beside(pairs), **tools}

    return columns


def implicit_in(way: Spelling, between: Any) -> MadeOf:  # noqa: ANN401 - of the way's type
    """Preferences of which both sides begin with the prompt, and then something between it and the answer."""

    def columns(pairs: pa.RecordBatch) -> Columns:
        asked, tools = way.asked(pairs["messages"])
        begun = replace(asked, values=[value + between for value in asked.values])
        sides = {name: begun.ended(map(way.answer, values_in(pairs[name]))) for name in SIDES}
        return {**sides, **columns_beside(pairs), **tools}

    return columns


def preference_schema(way: Spelling, *names: str) -> pa.Schema:
    """The columns of these names, with texts written so, and those beside them."""
    return pa.schema([*((name, way.type) for name in names), *BESIDE])
