"""Preferences for TRL with an explicit prompt, as plain text."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.texts import PLAIN, SEVERAL_TURNS
from webapp.datasets.exports.trl_preference import (
    CARD,
    CONFIG,
    CONSUMER,
    KEEPS,
    READER,
    explicit_in,
    preference_schema,
)

FORMAT = ExportFormat(
    name="trl_preference_plain",
    title=_("TRL preference, plain text"),
    reader=READER,
    consumer=CONSUMER,
    help=_("for models without a chat template; only prompts of one turn."),
    config=CONFIG,
    schema=preference_schema(PLAIN, "prompt", "chosen", "rejected"),
    found=PREFERENCES.found_in,
    columns=explicit_in(PLAIN),
    keeps=KEEPS - SEVERAL_TURNS,
    refuses=SEVERAL_TURNS,
    card=CARD,
)
