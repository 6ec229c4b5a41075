"""Answers worth imitating for TRL, texts as lists of messages."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.texts import MESSAGES
from webapp.datasets.exports.trl_completion import (
    CARD,
    CONFIG,
    CONSUMER,
    HELP,
    KEEPS,
    answers_named,
    completion_schema,
    imitated_as,
    imitated_found,
)
from webapp.datasets.exports.trl_preference import READER

FORMAT = ExportFormat(
    name="trl_completion_conversational",
    title=_("TRL prompt-completion, lists of messages"),
    reader=READER,
    consumer=CONSUMER,
    help=HELP,
    config=CONFIG,
    schema=completion_schema(MESSAGES),
    found=imitated_found,
    columns=imitated_as(MESSAGES),
    once=answers_named,
    keeps=KEEPS,
    card=CARD,
)
