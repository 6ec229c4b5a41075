"""Preferences for TRL with an implicit prompt, as plain text: both sides begin with it."""

from django.utils.translation import gettext_lazy as _

from alignment.rows.exported import BETWEEN
from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.texts import PLAIN, SEVERAL_TURNS
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
Each row is a prompt, a blank line and a better answer (`chosen`), and
the same with a worse one (`rejected`); ties make no row, and the two answers always differ."""

FORMAT = ExportFormat(
    name="trl_implicit_plain",
    title=_("TRL preference with an implicit prompt, plain text"),
    reader=READER,
    consumer=CONSUMER_OF_TALKS,
    help=_("prompt, a blank line, answer; for models without a chat template."),
    config=IMPLICIT,
    schema=preference_schema(PLAIN, "chosen", "rejected"),
    found=PREFERENCES.found_in,
    columns=implicit_in(PLAIN, BETWEEN),
    keeps=KEEPS - SEVERAL_TURNS,
    refuses=SEVERAL_TURNS,
    card=CARD._replace(row=ROW),
)
