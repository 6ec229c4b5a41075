"""Tools of conversations: what is kept of them, what is refused, and that nothing else changes for them."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from alignment.models.conversations import all_answered, answered, decoded, prompt_ids
from alignment.rows import tools as read
from alignment.rows.formats import row_of
from alignment.rows.found import BadRow
from alignment.seam.errors import DataError
from alignment.seam.records import Message, PromptRecord, ToolCall, prompt_key, split_of_prompt
from alignment.seam.tools import openai_turn, template_turn, tools_of
from tests.alignment.tokenizers import tokenizer_of

SKY = Message(role="user", content="How is the sky?")
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
LOOK = ToolCall(name="look", arguments='{"where": "up"}', id="c1")
CALLED = Message(role="assistant", content="", tool_calls=(LOOK,))
TOLD = Message(role="tool", content="", tool_call_id="c1")
TALK = (SKY.model_copy(update={"tools": json.dumps(TOOLS)}), CALLED, TOLD)


def test_a_conversation_without_tools_is_written_and_named_as_ever():
    assert SKY.model_dump_json() == '{"role":"user","content":"How is the sky?"}'
    known = hashlib.sha256(b'[["user", "How is the sky?"]]').hexdigest()
    assert prompt_key([SKY]) == known


def test_all_that_has_to_do_with_tools_is_part_of_the_key_and_comes_back_as_it_was():
    parts = [
        TALK,
        TALK[:2],
        TALK[:1],
        (SKY, CALLED, TOLD),
        (SKY, CALLED, TOLD.model_copy(update={"name": "look"})),
    ]
    assert len({prompt_key(turns) for turns in (*parts, (SKY,))}) == len(parts) + 1
    record = PromptRecord(key=prompt_key(TALK), messages=TALK)
    again = PromptRecord.model_validate_json(record.model_dump_json())
    assert (again, prompt_key(again.messages), again.text) == (record, record.key, SKY.content)
    assert record.uses_tools
    assert not PromptRecord(key="", messages=(SKY,)).uses_tools


def test_the_same_question_stays_in_its_split_with_tools():
    assert split_of_prompt(TALK) == split_of_prompt([SKY])


def test_turns_are_written_as_others_write_them():
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "look", "arguments": '{"where": "up"}'},
    }
    assert openai_turn(CALLED) == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert template_turn(CALLED)["tool_calls"][0]["function"]["arguments"] == {"where": "up"}
    assert openai_turn(TOLD) == {"role": "tool", "content": "", "tool_call_id": "c1"}
    assert (tools_of(TALK), tools_of([SKY]), tools_of([])) == (TOOLS, [], [])


@pytest.mark.parametrize(
    "columns",
    [
        {"role": "user", "content": ""},
        {"role": "critic", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": ""}]},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "[]"}]},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "{"}]},
    ],
)
def test_a_message_that_is_none_is_refused(columns):
    with pytest.raises(ValidationError):
        Message.model_validate(columns)


@pytest.mark.parametrize("none", [None, "", [], "[]", "null"])
def test_no_tools_are_no_tools(none):
    assert read.tools_text(none) == ""


def deep(levels):
    return {"name": "f", "parameters": json.loads('{"a": ' * levels + "{}" + "}" * levels)}


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("x" * (read.LONGEST + 1), "longer than 200,000"),
        ({"name": "f"}, "not a list"),
        ([1], "not an object"),
        ([{"function": []}], "not an object"),
        ([{"name": 1}], "the name of a tool"),
        ([{"name": "f\n"}], "the name of a tool"),
        ([{"name": "f" * 201}], "the name of a tool"),
        ([{"name": "f", "parameters": []}], "parameters of a tool"),
        ([{"name": "f"}] * 129, "more than 128"),
        ([{"name": "f", "description": "x" * read.LONGEST}], "longer than 200,000"),
        ([{"name": "f", "description": "\ud800"}], "no words for"),
        ([{"name": "f", "x": float("nan")}], "no words for"),
        ([deep(60)], "in each other"),
    ],
)  # fmt: skip
def test_tools_that_are_none_or_too_many_are_refused_in_words(tools, words):
    with pytest.raises(BadRow, match=words):
        read.tools_text(tools)


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        ({"role": "assistant", "tool_calls": {"name": "f"}}, "not a list"),
        ({"role": "assistant", "tool_calls": [{"name": "f"}] * 129}, "more than 128"),
        ({"role": "assistant", "tool_calls": ["f"]}, "not an object with name"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}, "not an object"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}, "no JSON"),
        ({"role": "assistant", "tool_calls": [{"id": 3, "function": {"name": "f"}}]}, "the name of a tool"),
        ({"role": "user", "content": "x", "tool_calls": [{"name": "f"}]}, "not the assistant's"),
        ({"role": "user", "content": "x", "tools": TOOLS}, "later than in the first"),
        ({"role": "tool", "content": None, "name": ["f"]}, "the name of a tool"),
        ({"from": "function_call", "value": "look()"}, "no JSON"),
        ({"from": "function_call", "value": "[]"}, "not an object with name"),
    ],
)  # fmt: skip
def test_calls_that_are_none_are_refused_in_words(turn, words):
    asked = {"role": "user", "content": "x"}
    with pytest.raises(BadRow, match=words):
        row_of({"prompt": [asked, turn, asked]}, "prompts")


def test_an_answer_that_calls_a_tool_is_refused():
    calls = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    with pytest.raises(BadRow, match="an answer is text"):
        row_of({"messages": [{"role": "user", "content": "x"}, calls]}, "answers")


# ChatML with tools: descriptions in the system's turn, calls and what they gave as JSON and text.
WRITTEN = """{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}[{{ call.function | tojson }}]{% endfor %}<|im_end|>
{% endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
PLAIN = "{% for message in messages %}{{ message.content }}{% endfor %}<|im_start|>"
LOOKALIKE = "blue <|im_end|> <s>"
TALKS = [
    TALK,
    TALK[:1],
    (SKY, CALLED, TOLD.model_copy(update={"content": "blue"})),
    (*TALK[:2], TOLD.model_copy(update={"content": LOOKALIKE}), SKY),
]


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = tokenizer_of("byte-level BPE", "none")
    tokenizer.chat_template = WRITTEN
    return tokenizer


def shown(tokenizer, turns):
    """A conversation as serving writes it."""
    said = [template_turn(turn) for turn in turns]
    return tokenizer.apply_chat_template(
        said, tools=tools_of(turns) or None, tokenize=False, add_generation_prompt=True
    )


@pytest.mark.parametrize("turns", TALKS)
def test_a_model_reads_tools_as_its_template_writes_them(tokenizer, turns):
    ids = prompt_ids(tokenizer, turns)
    assert decoded(tokenizer, ids) == shown(tokenizer, turns)
    marks = [tokenizer.convert_tokens_to_ids(mark) for mark in ("<|im_start|>", "<s>")]
    assert [ids.count(mark) for mark in marks] == [len(turns) + 1 + bool(tools_of(turns)), 0]


@pytest.mark.parametrize("turns", TALKS)
def test_answers_are_learned_from_behind_tools(tokenizer, turns):
    (one,) = all_answered(tokenizer, [turns], ["It is blue."])
    assert one == answered(tokenizer, turns, "It is blue.")
    assert one.prompt == prompt_ids(tokenizer, turns)
    assert decoded(tokenizer, one.completion) == "It is blue.<|im_end|>"
    assert one.closed


@pytest.mark.parametrize("template", [None, PLAIN])
def test_no_model_reads_a_conversation_with_tools_in_silence(template):
    tokenizer = tokenizer_of("byte-level BPE", "none")
    tokenizer.chat_template = template
    for turns in (TALK, TALK[:1], (SKY, CALLED, TOLD)):
        with pytest.raises(DataError, match="has to do with tools"):
            prompt_ids(tokenizer, turns)


def test_what_a_tool_is_called_or_told_is_never_a_control_token(tokenizer):
    described = json.dumps([{"type": "function", "function": {"name": "x", "description": "</s>"}}])
    told = LOOK.model_copy(update={"arguments": '{"where": "<|im_end|>"}'})
    called = CALLED.model_copy(update={"tool_calls": (told,)})
    for turns in ((SKY.model_copy(update={"tools": described}),), (SKY, called, TOLD)):
        with pytest.raises(DataError, match="holds a control token"):
            prompt_ids(tokenizer, turns)


def test_several_calls_at_once_and_the_older_way_to_write_one_are_read():
    asked = {"role": "user", "content": "x"}
    both = {"from": "function_call", "value": '[{"name": "f", "arguments": {}}, {"name": "g"}]'}
    older = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}
    told = {"role": "function", "name": "f", "content": "1"}
    for turn, names in ((both, ["f", "g"]), (older, ["f"])):
        _, found = row_of({"prompt": [asked, turn, told]}, "prompts")
        (prompt,) = found.prompts
        assert [call.name for call in prompt.messages[1].tool_calls] == names
        assert (prompt.messages[2].role, prompt.messages[2].name) == ("tool", "f")
        assert not found.unused
