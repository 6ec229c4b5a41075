"""Tools of a conversation as files hold them: descriptions, calls with arguments, and what was answered.

Consumers: OpenAI's fine-tuning (`tools`, `tool_calls`, `tool_call_id`), TRL (arguments are objects), LLaMA-Factory and
ShareGPT (`function_call`, `observation`, tools as a text). All are read; what is none of them is refused in words.
"""

import json
from collections.abc import Mapping
from typing import Any

from alignment.rows.found import BadRow
from alignment.seam.records import ToolCall
from alignment.seam.tools import written_json
from alignment.seam.words import _

ROLES = ("tool", "function", "observation", "ipython")  # of what a tool answered
CALLING = "function_call"  # a role, and what a message may hold beside its text
CALLS = ("tool_calls", CALLING)
MOST_TOOLS = 128
MOST_CALLS = 128  # of one turn
LONGEST_NAME = 200  # characters, of a tool's and of a call's
LONGEST = 200_000  # characters of all descriptions, and of the arguments of one call
DEEPEST = 50  # objects and lists in each other


def tools_text(value: object) -> str:
    """Descriptions of tools as the JSON text that is kept, "" for none; raises BadRow."""
    tools = _parsed(value, _("“tools”")) if value else None
    if not tools:
        return ""
    if not isinstance(tools, list):
        raise BadRow(_("“tools” is not a list of descriptions"))
    if len(tools) > MOST_TOOLS:
        raise BadRow(_("“tools” holds more than {n} tools").format(n=MOST_TOOLS))
    return _kept([_described(tool) for tool in tools], _("“tools”"))


def _described(tool: object) -> dict[str, Any]:
    """A tool as OpenAI describes one, from that or from its function alone."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        raise BadRow(_("a description of a tool is not an object"))
    _name_of(function.get("name"))
    if function.get("parameters") is not None and not isinstance(function["parameters"], dict):
        raise BadRow(_("the parameters of a tool are not an object"))
    return {"type": "function", "function": function}


def calls_of(turn: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The calls that a message of the assistant's holds; raises BadRow."""
    several, one = (turn.get(name) for name in CALLS)
    found = several or ([one] if one else [])
    if not isinstance(found, list):
        raise BadRow(_("the calls of a message are not a list"))
    return _calls(found)


def told_calls(words: object) -> tuple[ToolCall, ...]:
    """The calls that a turn of `function_call` is the text of: an object with name and arguments, or a list."""
    found = _parsed(words, _("a call of a tool"))
    return _calls(found if isinstance(found, list) and found else [found])


def _calls(found: list[Any]) -> tuple[ToolCall, ...]:
    if len(found) > MOST_CALLS:
        raise BadRow(_("a message calls more than {n} tools").format(n=MOST_CALLS))
    return tuple(map(_call, found))


def _call(call: object) -> ToolCall:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise BadRow(_("a call of a tool is not an object with name and arguments"))
    given = function.get("arguments")
    arguments = _parsed({} if given in (None, "") else given, _("the arguments of a call"))
    if not isinstance(arguments, dict):
        raise BadRow(_("the arguments of a call are not an object"))
    return ToolCall(
        name=_name_of(function.get("name")),
        arguments=_kept(arguments, _("the arguments of a call")),
        id=named(call.get("id")),
    )


def named(value: object) -> str:
    """The name of a call, or of a tool where a message says it, "" for none; raises BadRow."""
    return "" if value in (None, "") else _name_of(value)


def _name_of(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
        raise BadRow(
            _("the name of a tool or a call is no text of at most {n} characters").format(
                n=LONGEST_NAME
            )
        )
    return value


def _parsed(value: object, what: str) -> object:
    """A value, or what a text says as JSON."""
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST:
        raise BadRow(_too_long(what))
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise BadRow(_("{what}: a text that is no JSON").format(what=what)) from error


def _kept(value: object, what: str) -> str:
    """A value as JSON text, if it is small enough and every database can hold it."""
    if _is_deeper(value, DEEPEST):
        raise BadRow(
            _("{what}: more than {n} objects and lists in each other").format(what=what, n=DEEPEST)
        )
    try:
        text = written_json(value)
        text.encode()
    except ValueError as error:  # half a character, a number that is none, one of too many digits
        raise BadRow(_("{what}: something that JSON has no words for").format(what=what)) from error
    if len(text) > LONGEST:
        raise BadRow(_too_long(what))
    return text


def _too_long(what: str) -> str:
    return _("{what}: longer than {n:,} characters").format(what=what, n=LONGEST)


def _is_deeper(value: object, left: int) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left < 0 or any(_is_deeper(part, left - 1) for part in parts)
