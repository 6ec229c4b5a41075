"""The formats of export. A new one is a file here, a test, and a line below."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports import (
    hh_rlhf,
    llama_factory_alpaca,
    llama_factory_sharegpt,
    openai_chat,
    openai_preference,
    pairs_csv,
    raw_labels,
    trl_completion_conversational,
    trl_completion_plain,
    trl_implicit_conversational,
    trl_implicit_plain,
    trl_preference_conversational,
    trl_preference_plain,
    trl_prompts_conversational,
    trl_prompts_plain,
    trl_unpaired_conversational,
    trl_unpaired_plain,
)
from webapp.datasets.exports.descriptor import ExportFormat

EXPORTS: dict[str, ExportFormat] = {
    one.name: one
    for one in (
        trl_preference_conversational.FORMAT,
        trl_preference_plain.FORMAT,
        trl_implicit_conversational.FORMAT,
        trl_implicit_plain.FORMAT,
        trl_unpaired_conversational.FORMAT,
        trl_unpaired_plain.FORMAT,
        trl_completion_conversational.FORMAT,
        trl_completion_plain.FORMAT,
        trl_prompts_conversational.FORMAT,
        trl_prompts_plain.FORMAT,
        raw_labels.FORMAT,
        pairs_csv.FORMAT,
        openai_chat.FORMAT,
        openai_preference.FORMAT,
        llama_factory_alpaca.FORMAT,
        llama_factory_sharegpt.FORMAT,
        hh_rlhf.FORMAT,
    )
}


def format_of(payload: Mapping[str, Any]) -> ExportFormat:
    """The format that a stored job asks for; raises ExportRefusal where it is not here."""
    name = name_in(payload)
    if name not in EXPORTS:
        raise ExportRefusal(
            _("There is no format of export “{name}” in this installation.").format(name=name)
        )
    return EXPORTS[name]


def name_in(payload: Mapping[str, Any]) -> str:
    """The name of a stored job's format; jobs once named a consumer and how texts are written."""
    before = "_".join(payload[part] for part in ("consumer", "text") if part in payload)
    return str(payload.get("format", before))
