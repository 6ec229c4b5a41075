"""Single answers for TRL, good or bad, as plain text."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.texts import ALL_TURNS, PLAIN
from webapp.datasets.exports.trl_preference import READER
from webapp.datasets.exports.trl_unpaired import (
    CARD,
    CONFIG,
    CONSUMER,
    KEEPS,
    VERDICTS,
    unpaired_in,
    unpaired_schema,
)

FORMAT = ExportFormat(
    name="trl_unpaired_plain",
    title=_("TRL unpaired, plain text"),
    reader=READER,
    consumer=CONSUMER,
    help=_("the same rows for models without a chat template; only prompts of one turn."),
    config=CONFIG,
    schema=unpaired_schema(PLAIN),
    found=VERDICTS.found_in,
    columns=unpaired_in(PLAIN),
    keeps=KEEPS - ALL_TURNS,
    refuses=ALL_TURNS,
    card=CARD,
)
