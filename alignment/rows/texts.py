"""Texts and conversations as a file holds them: kept byte for byte, or refused by name."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from alignment.rows import tools
from alignment.rows.found import TEXTS_NAMED, BadRow, Found, Turns
from alignment.seam.records import Message, ToolCall
from alignment.seam.words import _

Role = Literal["system", "user", "assistant", "tool"]
ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
SPOKEN = ("role", "from"), ("content", "value")  # two ways to write a turn
ENDS = ("user", "tool")  # whose turn an answer follows
LONGEST_TEXT = 1_000_000  # characters
LONGEST_NAME = 40  # characters of a role or a type that are told
LINES = r"\r?\n\r?\n"
TRANSCRIPT = re.compile(rf"{LINES}(Human|Assistant):")
BARE = re.compile(rf"\A\s*(?=Human:.*?{LINES}Assistant:)", re.DOTALL)  # nothing before a first name
USER = "Human:"  # is in each transcript
EMPTY_SYSTEM = "empty system messages, which say nothing"
AS_TURNS = "texts of “Human:” and “Assistant:” are read as conversations"
GOES_ON = "turns of one speaker after the other in a transcript, joined by a blank line"
PARTS = "messages of several parts of text, joined as they are"


def text_of(value: object, what: str, *, blank: bool = False) -> str:
    """The very text, if a database can hold it and, unless `blank`, something in it can be seen."""
    if not isinstance(value, str):
        raise BadRow(_("{what} is not text").format(what=what))
    if len(value) > LONGEST_TEXT:
        raise BadRow(
            _("{what} is longer than {longest_text:,} characters").format(
                what=what, longest_text=LONGEST_TEXT
            )
        )
    if "\x00" in value:
        raise BadRow(_("{what} contains a NUL character").format(what=what))
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRow(
            _("{what} contains half a character (a lone surrogate)").format(what=what)
        ) from error
    if not blank and not value.strip():
        raise BadRow(_("{what} is empty").format(what=what))
    return value


def is_plain_text(text: str) -> bool:
    """Whether `text_of` finds nothing wrong with a text, which may be blank."""
    if len(text) > LONGEST_TEXT or "\x00" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def plain(value: object, what: str, found: Found, *, blank: bool = False) -> str:
    """A text that is no message: without the spaces around it, where the reader asks for that."""
    text = text_of(value, what, blank=blank)
    return text.strip() if found.trimmed else text


def conversation_of(value: object, what: str, found: Found) -> Turns:
    """A conversation: text is the user's turn, or a transcript that names who speaks."""
    if isinstance(value, str):
        return transcript_of(value, what, found) or asked_alone(plain(value, what, found))
    if not isinstance(value, list) or not value:
        raise BadRow(_("{what} is not a string, and not a list of messages").format(what=what))
    turns = (turn_of(turn, what, found) for turn in value)
    return tuple(turn for turn in turns if turn is not None)


def turn_of(turn: Any, what: str, found: Found) -> Message | None:  # noqa: ANN401
    """One message; None for a system message without words."""
    said = _spoken(turn, what, found)
    blank = bool(said.calls) or said.role == "tool"
    if said.role == "system" and isinstance(said.words, str) and not said.words.strip():
        found.left_out[EMPTY_SYSTEM] += 1
        return None
    words = "" if said.words is None and blank else said.words
    return Message(
        role=said.role,
        content=text_of(words, "a message", blank=blank),
        tool_calls=said.calls,
        tool_call_id=said.answers,
        name=said.tool,
        tools=said.tools,
    )


def answered_of(value: Sequence[Any], what: str, found: Found) -> tuple[Turns, str]:
    """What comes before the answer of a list of messages, and the answer, which may be empty."""
    *before, last = value
    said = _spoken(last, what, found)
    if said.role != "assistant":
        raise BadRow(_("{what} does not end with the assistant's turn").format(what=what))
    if said.calls:
        raise BadRow(
            _("{what} ends with a message that calls a tool, and an answer is text").format(
                what=what
            )
        )
    turns = conversation_of(before, what, found) if before else ()
    return turns, text_of(said.words, "a message", blank=found.blank)


class _Spoken(NamedTuple):
    """What a message says, before its words are looked at."""

    role: Role
    words: object
    calls: tuple[ToolCall, ...] = ()
    answers: str = ""  # the call that a tool answers
    tool: str = ""
    tools: str = ""


def _spoken(turn: Any, what: str, found: Found) -> _Spoken:  # noqa: ANN401
    """Who speaks, and the words, or the calls that stand in their place."""
    if not isinstance(turn, dict):
        raise BadRow(_("a message is not an object with role and content"))
    role, content = (next((n for n in names if n in turn), names[0]) for names in SPOKEN)
    speaker, words, used = turn.get(role), turn.get(content), {role, content}
    said = _tools_spoken(turn, speaker, words, used)
    rest = {name for name in turn.keys() - used if turn[name] not in (None, [])}
    found.unused.update(f"{what}[].{name}" for name in rest)
    if isinstance(said.words, list):
        return said._replace(words=_joined(said.words, found))
    return said


def _tools_spoken(
    turn: Mapping[str, Any], speaker: object, words: object, used: set[str]
) -> _Spoken:
    """The same, of a message that may have to do with tools; adds what was `used` of it."""
    used.add("tools")
    described = tools.tools_text(turn.get("tools"))
    if speaker == tools.CALLING:
        return _Spoken("assistant", None, tools.told_calls(words), tools=described)
    if speaker in tools.ROLES:
        used |= {"tool_call_id", "name"}
        answers, name = (tools.named(turn.get(one)) for one in ("tool_call_id", "name"))
        return _Spoken("tool", words, answers=answers, tool=name, tools=described)
    if not isinstance(speaker, str) or speaker not in ROLES:
        raise BadRow(
            _("a message's role is not system, user, assistant or tool{named}").format(
                named=_named(speaker)
            )
        )
    calls = tools.calls_of(turn)
    if calls and ROLES[speaker] != "assistant":
        raise BadRow(_("a message calls a tool, and it is not the assistant's"))
    used.update(tools.CALLS)
    return _Spoken(ROLES[speaker], words, calls, tools=described)


def _joined(parts: Sequence[Any], found: Found) -> str:
    """The text of a message that is written in parts; raises BadRow for a part that is none."""
    texts = []
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if kind != "text":
            raise BadRow(
                _("a message has a part that is not text{named}").format(named=_named(kind))
            )
        texts.append(text_of(part.get("text"), "a part of a message", blank=True))
    found.notes[PARTS] += len(texts) > 1
    return "".join(texts)


def _named(value: object) -> str:
    """What something is called, for the end of a sentence."""
    return f", but “{value[:LONGEST_NAME]}”" if isinstance(value, str) else ""


def message_by(role: Role, text: str) -> Message:
    """A turn."""
    return Message(role=role, content=text)


@lru_cache(maxsize=TEXTS_NAMED)
def asked_alone(text: str) -> Turns:
    """A prompt of one turn: rows about the same one mostly stand together, and share it."""
    return (message_by("user", text),)


def asked(turns: Sequence[Message]) -> Turns:
    """The turns, if they end with the user's or with what a tool answered."""
    if not turns or turns[-1].role not in ENDS:
        raise BadRow(_("the last message is not the user's"))
    if len(turns) > 1 and any(turn.tools for turn in turns[1:]):
        raise BadRow(_("tools are described later than in the first message"))
    return tuple(turns)


def same(one: Sequence[Message], other: Sequence[Message]) -> bool:
    """Whether two conversations are one, but for the spaces around their turns."""
    words = (
        [(turn.role, turn.content.strip(), turn.tool_calls) for turn in turns]
        for turns in (one, other)
    )
    return next(words) == next(words)


def transcript_of(text: str, what: str, found: Found) -> Turns | None:
    """The turns of a text in which “Human:” and “Assistant:” speak in turn; None if it is no such text.

    An “Assistant:” at its end, after which the answer would come, is no turn.
    """
    talk = _heard(text, found)
    if talk is None:
        return None
    if talk[-1][0] == "assistant" and not talk[-1][1].strip():
        talk = talk[:-1]
    return _turns(talk, what, found)


def answered_transcript(text: str, what: str, found: Found) -> tuple[Turns, str] | None:
    """What comes before the last “Assistant:” of a transcript, and the answer; None if it is none.

    Raises BadRow where somebody else has the last word.
    """
    talk = _heard(text, found)
    if talk is None:
        return None
    if talk[-1][0] != "assistant":
        raise BadRow(_("{what} does not end with the assistant's turn").format(what=what))
    turns = _turns(talk[:-1], what, found)
    return turns, plain(_said(talk[-1][1]), what, found, blank=found.blank)


def _heard(text: str, found: Found) -> list[tuple[Role, str]] | None:
    """Who says what in a transcript, one speaker after the other; None if it is no such text."""
    if USER not in text:
        return None
    text = BARE.sub("\n\n", text, count=1)
    parts = TRANSCRIPT.split(text)
    if parts[0].strip() or parts[1:2] != ["Human"]:
        return None
    talk: list[tuple[Role, str]] = []
    for speaker, words in zip(parts[1::2], parts[2::2], strict=True):
        role: Role = "user" if speaker == "Human" else "assistant"
        if talk and talk[-1][0] == role:
            talk[-1] = (role, f"{talk[-1][1]}\n\n{_said(words)}")
            found.notes[GOES_ON] += 1
        else:
            talk.append((role, words))
    return talk


def _turns(talk: Sequence[tuple[Role, str]], what: str, found: Found) -> Turns:
    named = f"a turn of {what}, before its last,"
    turns = tuple(message_by(role, plain(_said(words), named, found)) for role, words in talk)
    found.notes[AS_TURNS] += 1
    return turns


def _said(words: str) -> str:
    """Words without the one space that stands between a name and what it says."""
    return words.removeprefix(" ")
