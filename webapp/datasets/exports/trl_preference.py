"""What both formats of preferences for TRL share: whom they are for, and the columns beside the texts.

`alignment.rows.exported` reads them back.
"""

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import PairRecord
from webapp.datasets.exports.descriptor import CardText, Row

CONSUMER = _("TRL's DPOTrainer and RewardTrainer, and all that read their format")
CONFIG = "preference"
KEEPS = frozenset(["strengths", "sides", "annotators", "groups", "turns"])
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


def columns_beside(pair: PairRecord) -> Row:
    """What a row says of a preference besides its texts."""
    return {
        "prompt_key": pair.prompt.key,
        "group": pair.group,
        "strength": pair.strength,
        "annotator": pair.annotator,
        "left_won": pair.left_won,
    }


def schema_of(text: pa.DataType) -> pa.Schema:
    """The columns, with texts of this type."""
    return pa.schema(
        [
            ("prompt", text),
            ("chosen", text),
            ("rejected", text),
            ("prompt_key", pa.string()),
            ("group", pa.string()),
            ("strength", pa.int8()),
            ("annotator", pa.string()),
            ("left_won", pa.bool_()),
        ]
    )
