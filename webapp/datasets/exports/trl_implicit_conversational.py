"""Preferences for TRL with an implicit prompt: both sides are whole conversations."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.texts import MESSAGES
from webapp.datasets.exports.trl_preference import (
    CARD,
    CONSUMER_OF_TALKS,
    IMPLICIT,
    KEEPS,
    READER,
    implicit_in,
    preference_schema,
)

ROW = """\
Each row is a conversation that ends with a better answer (`chosen`)
and the same one with a worse answer (`rejected`); ties make no row, and the two answers always differ."""

FORMAT = ExportFormat(
    name="trl_implicit_conversational",
    title=_("TRL preference with an implicit prompt, lists of messages"),
    reader=READER,
    consumer=CONSUMER_OF_TALKS,
    help=_("the prompt is at the beginning of both sides, as reward models are trained."),
    config=IMPLICIT,
    schema=preference_schema(MESSAGES, "chosen", "rejected"),
    found=PREFERENCES.found_in,
    columns=implicit_in(MESSAGES, []),
    keeps=KEEPS,
    card=CARD._replace(row=ROW),
)
