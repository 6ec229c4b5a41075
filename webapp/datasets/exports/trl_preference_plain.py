"""Preferences for TRL with an explicit prompt, as plain text."""

from collections.abc import Iterator

import pyarrow as pa
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alignment.seam.records import LabelRecord
from webapp.datasets.errors import ExportRefusal
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

TURNS = frozenset(["turns"])


def rows(label: LabelRecord) -> Iterator[Row]:
    """A preference as text; raises ExportRefusal for a conversation of several turns."""
    if not is_pair(label):
        return
    if len(label.prompt.messages) > 1:
        raise ExportRefusal(
            _(
                "Some prompts have several turns, which plain text cannot keep apart. "
                "Export lists of messages instead."
            )
        )
    texts = {"prompt": label.prompt.text, "chosen": label.chosen, "rejected": label.rejected}
    yield texts | columns_beside(label)


FORMAT = ExportFormat(
    name="trl_preference_plain",
    title=gettext_lazy("TRL preference, plain text"),
    consumer=CONSUMER,
    help=gettext_lazy("for models without a chat template; only prompts of one turn."),
    config=CONFIG,
    schema=schema_of(pa.string()),
    rows=rows,
    keeps=KEEPS - TURNS,
    refuses=TURNS,
    card=CARD,
)
