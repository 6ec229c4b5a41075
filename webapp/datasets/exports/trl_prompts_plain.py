"""Prompts for TRL, as plain text."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.statements import prompts_in
from webapp.datasets.exports.texts import ALL_TURNS, PLAIN
from webapp.datasets.exports.trl_preference import READER
from webapp.datasets.exports.trl_prompts import (
    CARD,
    CONFIG,
    CONSUMER,
    KEEPS,
    READS,
    prompt_schema,
    prompts_as,
    prompts_named,
)

FORMAT = ExportFormat(
    name="trl_prompts_plain",
    title=_("TRL prompt-only, plain text"),
    reader=READER,
    consumer=CONSUMER,
    help=_("the same rows for models without a chat template; only prompts of one turn."),
    config=CONFIG,
    schema=prompt_schema(PLAIN),
    found=prompts_in,
    reads=READS,
    columns=prompts_as(PLAIN),
    once=prompts_named,
    keeps=KEEPS - ALL_TURNS,
    refuses=ALL_TURNS,
    card=CARD,
)
