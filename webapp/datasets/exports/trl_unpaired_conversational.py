"""Single answers for TRL, good or bad, texts as lists of messages."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.texts import MESSAGES
from webapp.datasets.exports.trl_preference import READER
from webapp.datasets.exports.trl_unpaired import (
    CARD,
    CONFIG,
    CONSUMER,
    HELP,
    KEEPS,
    VERDICTS,
    unpaired_in,
    unpaired_schema,
)

FORMAT = ExportFormat(
    name="trl_unpaired_conversational",
    title=_("TRL unpaired, lists of messages"),
    reader=READER,
    consumer=CONSUMER,
    help=HELP,
    config=CONFIG,
    schema=unpaired_schema(MESSAGES),
    found=VERDICTS.found_in,
    columns=unpaired_in(MESSAGES),
    keeps=KEEPS,
    card=CARD,
)
