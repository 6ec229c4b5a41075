"""Turns as templates read them, with the tools that they describe, call and hear from."""

import json
from collections.abc import Sequence
from typing import Any

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.models.control_tokens import controls
from alignment.seam.errors import DataError
from alignment.seam.records import Message
from alignment.seam.tools import Beside, beside_of
from alignment.seam.words import _

Turns = tuple[
    tuple[str, ...], ...
]  # roles, contents, and as JSON what else a template reads, if anything


def turns_of(messages: Sequence[Message]) -> Turns:
    """Roles, contents, and what they have to do with tools."""
    return tuple(
        (one.role, one.content, *([json.dumps(beside, ensure_ascii=False)] if beside else ()))
        for one, beside in ((message, beside_of(message)) for message in messages)
    )


def as_templates_read(turns: Turns) -> list[dict[str, Any]]:
    """Turns as `apply_chat_template` takes them; the first holds the tools that may be called."""
    return [
        {"role": role, "content": content, **(json.loads(*beside) if beside else {})}
        for role, content, *beside in turns
    ]


def check_tools(tokenizer: PreTrainedTokenizerBase, turns: Turns, written: str) -> None:
    """Raise DataError where a model does not read the tools of a prompt, or would take their words for its marks."""
    besides: list[Beside] = [json.loads(*beside) for _, _, *beside in turns if beside]
    if not besides and all(role != "tool" for role, *_ in turns):
        return
    known = controls(tokenizer)
    texts = [text for _, _, *beside in turns for text in beside]
    if any(
        known.pattern.search(text) or (known.unknown and known.unknown in text) for text in texts
    ):
        raise DataError(
            _(
                "What a prompt says of its tools holds a control token of the model's, which no template can "
                "write as text; leave such prompts out."
            )
        )
    named = [one["function"]["name"] for beside in besides for one in called(beside)]
    answers = [content.strip() for role, content, *_ in turns if role == "tool"]
    if tokenizer.chat_template is None or not all(text in written for text in [*named, *answers]):
        raise DataError(
            _(
                "A prompt has to do with tools, which the model's chat template does not write; leave such "
                "prompts out, or add the model again with a template for tools."
            )
        )


def called(beside: Beside) -> list[dict[str, Any]]:
    """The tools that a turn describes, and its calls."""
    return [*beside.get("tools", ()), *beside.get("tool_calls", ())]
