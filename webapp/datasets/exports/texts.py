"""How formats of export write prompts and answers: as lists of messages, or as plain text."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.utils.translation import gettext as _

from alignment.seam.records import Message, PromptRecord
from alignment.seam.tools import openai_turn, template_turn, tools_of
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.columns import (
    JSON,
    AnswerColumn,
    Column,
    Columns,
    DistinctColumn,
    TextColumn,
)

Turn = dict[str, Any]
BEYOND = '"(tool|name)'  # is in the JSON of each turn that says more than who speaks and what
TOOLS = frozenset(["tools", "tools_beside"])  # of HOLDINGS
SEVERAL_TURNS = frozenset(["turns", "tools"])  # what plain text refuses where pairs are written
ALL_TURNS = SEVERAL_TURNS | TOOLS | {"turns_beside"}  # and where all are


class Spelling(NamedTuple):
    """A way to write texts."""

    type: pa.DataType
    prompt: Callable[[PromptRecord], Any]
    answer: Callable[[str], Any]
    beside: Callable[[PromptRecord], dict[str, Any]]  # columns of its own
    plain: Callable[[Sequence[Sequence[Turn]]], Sequence[Any]]  # of many without tools, as stored
    answers: Callable[[pa.Array], Column]  # `answer`, of many

    def asked(self, messages: pa.Array) -> tuple[DistinctColumn, Columns]:
        """Prompts, each read once, by the JSON of their turns; and columns of their own."""
        coded = messages.dictionary_encode()
        stored = json.loads(f"[{','.join(coded.dictionary.to_pylist())}]")
        beyond = pc.any(pc.match_substring_regex(coded.dictionary, BEYOND)).as_py()
        if not beyond or all(map(_without_tools, stored)):
            return DistinctColumn(self.plain(stored), coded.indices), {}
        prompts = [_as_record(turns) for turns in stored]
        beside = [self.beside(prompt).get("tools") for prompt in prompts]
        tools = {"tools": DistinctColumn(beside, coded.indices, lacking="")} if any(beside) else {}
        return DistinctColumn([*map(self.prompt, prompts)], coded.indices), tools


def prompt_columns(
    messages: pa.Array, make: Callable[[PromptRecord], Mapping[str, Any]]
) -> Mapping[str, DistinctColumn]:
    """Columns about prompts, made once for each of them, by the JSON of their turns."""
    coded = messages.dictionary_encode()
    stored = json.loads(f"[{','.join(coded.dictionary.to_pylist())}]")
    made = [make(_as_record(turns)) for turns in stored]
    names = made[0] if made else ()
    return {name: DistinctColumn([one[name] for one in made], coded.indices) for name in names}


def _without_tools(turns: Sequence[Turn]) -> bool:
    """Whether turns say nothing but who speaks and what."""
    return (len(turns) == 1 and _is_plain(turns[0])) or all(map(_is_plain, turns))


def _is_plain(turn: Turn) -> bool:
    return len(turn) == 2 and turn["role"] != "tool"


def _as_record(turns: Sequence[Turn]) -> PromptRecord:
    return PromptRecord(key="", messages=tuple(Message(**turn) for turn in turns))


def as_messages(prompt: PromptRecord) -> list[Turn]:
    """A prompt as messages, as chat templates take them."""
    return [template_turn(turn) for turn in prompt.messages]


def as_openai(prompt: PromptRecord) -> list[Turn]:
    """The same as OpenAI takes it: each call has an id, by which its answer names it."""
    turns, waiting, number = [], list[str](), 0
    for turn in map(openai_turn, prompt.messages):
        for call in turn.get("tool_calls", ()):
            number += 1
            call["id"] = call.get("id") or f"call_{number}"
            waiting.append(call["id"])
        if turn["role"] == "tool":
            turn["tool_call_id"] = named = turn.get("tool_call_id") or (waiting or ["call_0"])[0]
            waiting = [one for one in waiting if one != named]
        turns.append(turn)
    return turns


def tools_column(prompt: PromptRecord) -> dict[str, Any]:
    """The tools that a prompt may call; nothing where it has none."""
    tools = tools_of(prompt.messages)
    return {"tools": tools} if tools else {}


def check_without_tools(prompt: PromptRecord) -> None:
    """Raise ExportRefusal for a prompt that has to do with tools."""
    if prompt.uses_tools:
        raise ExportRefusal(
            _(
                "Some prompts describe or call tools, which this format cannot hold. "
                "Export lists of messages to TRL or OpenAI instead."
            )
        )


def answer_turns(text: str) -> list[Turn]:
    """An answer as messages."""
    return [{"role": "assistant", "content": text}]


def single_text(prompt: PromptRecord) -> str:
    """A prompt of one turn as text; raises ExportRefusal for a conversation."""
    check_without_tools(prompt)
    _check_single(prompt.messages)
    return prompt.text


def _singles(prompts: Sequence[Sequence[Turn]]) -> Sequence[str]:
    """The same of many without tools."""
    for turns in prompts[:1] if len({*map(len, prompts)}) < 2 else prompts:
        _check_single(turns)
    return [turns[0]["content"] for turns in prompts]


def _check_single(turns: Sequence[object]) -> None:
    if len(turns) > 1:
        raise ExportRefusal(
            _(
                "Some prompts have several turns, which plain text cannot keep apart. "
                "Export lists of messages instead."
            )
        )


MESSAGES = Spelling(
    pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
    as_messages,
    answer_turns,
    tools_column,
    plain=list,
    answers=AnswerColumn,
)
PLAIN = Spelling(
    pa.string(), single_text, str, lambda _prompt: {}, plain=_singles, answers=TextColumn
)
CALL = pa.struct([("name", pa.string()), ("arguments", JSON)])
CALLS = pa.list_(pa.struct([("id", pa.string()), ("type", pa.string()), ("function", CALL)]))
TURN = pa.struct(
    [("role", pa.string()), ("content", pa.string()), ("tool_calls", CALLS)]
    + [(name, pa.string()) for name in ("tool_call_id", "name")]
)


def schema_with_tools(schema: pa.Schema) -> pa.Schema:
    """The columns where prompts have to do with tools: only then are messages so wide."""
    if MESSAGES.type not in schema.types:
        return schema
    wide = [
        field.with_type(pa.list_(TURN)) if field.type == MESSAGES.type else field
        for field in schema
    ]
    return pa.schema([*wide, ("tools", JSON)])
