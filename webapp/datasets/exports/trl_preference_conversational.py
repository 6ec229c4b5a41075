"""Preferences for TRL with an explicit prompt, texts as lists of messages."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.texts import MESSAGES
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
    name="trl_preference_conversational",
    title=_("TRL preference, lists of messages"),
    reader=READER,
    consumer=CONSUMER,
    help=_("the trainer's chat template is applied; prompts of several turns stay whole."),
    config=CONFIG,
    schema=preference_schema(MESSAGES, "prompt", "chosen", "rejected"),
    found=PREFERENCES.found_in,
    columns=explicit_in(MESSAGES),
    keeps=KEEPS,
    card=CARD,
)
