"""Prompts for TRL, as lists of messages."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.statements import prompts_in
from webapp.datasets.exports.texts import MESSAGES
from webapp.datasets.exports.trl_preference import READER
from webapp.datasets.exports.trl_prompts import (
    CARD,
    CONFIG,
    CONSUMER,
    HELP,
    KEEPS,
    READS,
    prompt_schema,
    prompts_as,
    prompts_named,
)

FORMAT = ExportFormat(
    name="trl_prompts_conversational",
    title=_("TRL prompt-only, lists of messages"),
    reader=READER,
    consumer=CONSUMER,
    help=HELP,
    config=CONFIG,
    schema=prompt_schema(MESSAGES),
    found=prompts_in,
    reads=READS,
    columns=prompts_as(MESSAGES),
    once=prompts_named,
    keeps=KEEPS,
    card=CARD,
)
