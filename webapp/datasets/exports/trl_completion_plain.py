"""Answers worth imitating for TRL, as plain text."""

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.texts import ALL_TURNS, PLAIN
from webapp.datasets.exports.trl_completion import (
    CARD,
    CONFIG,
    CONSUMER,
    KEEPS,
    answers_named,
    completion_schema,
    imitated_as,
    imitated_found,
)
from webapp.datasets.exports.trl_preference import READER

FORMAT = ExportFormat(
    name="trl_completion_plain",
    title=_("TRL prompt-completion, plain text"),
    reader=READER,
    consumer=CONSUMER,
    help=_("the same rows for models without a chat template; only prompts of one turn."),
    config=CONFIG,
    schema=completion_schema(PLAIN),
    found=imitated_found,
    columns=imitated_as(PLAIN),
    once=answers_named,
    keeps=KEEPS - ALL_TURNS,
    refuses=ALL_TURNS,
    card=CARD,
)
