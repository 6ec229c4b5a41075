"""How formats of export write prompts and answers: as lists of messages, or as plain text."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
from django.utils.translation import gettext as _

from alignment.seam.records import PromptRecord
from webapp.datasets.errors import ExportRefusal

Turn = dict[str, Any]
SEVERAL_TURNS = frozenset(["turns"])  # of HOLDINGS: what plain text refuses where pairs are written
ALL_TURNS = SEVERAL_TURNS | {"turns_beside"}  # and where all are


class Spelling(NamedTuple):
    """A way to write texts."""

    type: pa.DataType
    prompt: Callable[[PromptRecord], Any]
    answer: Callable[[str], Any]


def as_messages(prompt: PromptRecord) -> list[Turn]:
    """A prompt as messages."""
    return [{"role": turn.role, "content": turn.content} for turn in prompt.messages]


def answer_turns(text: str) -> list[Turn]:
    """An answer as messages."""
    return [{"role": "assistant", "content": text}]


def single_text(prompt: PromptRecord) -> str:
    """A prompt of one turn as text; raises ExportRefusal for a conversation."""
    if len(prompt.messages) > 1:
        raise ExportRefusal(
            _(
                "Some prompts have several turns, which plain text cannot keep apart. "
                "Export lists of messages instead."
            )
        )
    return prompt.text


MESSAGES = Spelling(
    pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
    as_messages,
    answer_turns,
)
PLAIN = Spelling(pa.string(), single_text, str)
