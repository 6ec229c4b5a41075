"""Tools that a conversation may call, and its calls of them, written as others write them.

Descriptions and arguments are JSON texts, so that they are kept letter by letter whatever stores them. Torch-free.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignment.seam.records import Message

Turn = dict[str, Any]
Beside = dict[str, Any]
PLAIN = ("role", "content")


def written_json(value: object) -> str:
    """A value as the JSON text that is kept; raises ValueError for what JSON has no words for."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def tools_of(messages: Sequence["Message"]) -> list[Turn]:
    """The descriptions of what a conversation may call, as `{"type": "function", "function": …}`."""
    found: list[Turn] = json.loads(messages[0].tools) if messages and messages[0].tools else []
    return found


def beside_of(message: "Message") -> Beside:
    """What a chat template reads of a turn beside its role and content: nothing of a plain one."""
    told = {name: value for name, value in template_turn(message).items() if name not in PLAIN}
    return {**told, **({"tools": tools_of([message])} if message.tools else {})}


def openai_turn(turn: "Message") -> Turn:
    """A turn as OpenAI writes it: arguments are text, and a call without a name of its own has none."""
    return _turn(turn, lambda text: text)


def template_turn(turn: "Message") -> Turn:
    """A turn as chat templates and TRL take it: arguments are an object."""
    return _turn(turn, json.loads)


def _turn(turn: "Message", arguments: Any) -> Turn:  # noqa: ANN401 - a function of a text
    calls = [
        {
            **({"id": call.id} if call.id else {}),
            "type": "function",
            "function": {"name": call.name, "arguments": arguments(call.arguments)},
        }
        for call in turn.tool_calls
    ]
    beside = {"tool_calls": calls, "tool_call_id": turn.tool_call_id, "name": turn.name}
    said: Mapping[str, Any] = {name: value for name, value in beside.items() if value}
    return {"role": turn.role, "content": turn.content, **said}
