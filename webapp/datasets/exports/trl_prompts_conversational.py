"""Prompts for TRL, as lists of messages."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.texts import MESSAGES
from webapp.datasets.exports.trl_preference import READER
from webapp.datasets.exports.trl_prompts import (
    CARD,
    CONFIG,
    CONSUMER,
    HELP,
    KEEPS,
    prompt_named,
    prompt_schema,
    prompts_as,
)

FORMAT = ExportFormat(
    name="trl_prompts_conversational",
    title=_("TRL prompt-only, lists of messages"),
    reader=READER,
    consumer=CONSUMER,
    help=HELP,
    config=CONFIG,
    schema=prompt_schema(MESSAGES),
    rows=prompts_as(MESSAGES),
    once=prompt_named,
    keeps=KEEPS,
    card=CARD,
)
