"""Texts and conversations as a file holds them: kept byte for byte, or refused by name."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from alignment.records import Message
from webapp.datasets.imports.rows import BadRow, Found, Turns

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
SPOKEN = ("role", "from"), ("content", "value")  # two ways to write a turn
LONGEST_TEXT = 1_000_000  # characters
TRANSCRIPT = re.compile(r"\n\n(Human|Assistant):")
EMPTY_SYSTEM = "empty system messages, which say nothing"
AS_TURNS = "texts of “Human:” and “Assistant:” are read as conversations"


def text_of(value: object, what: str, *, blank: bool = False) -> str:
    """The very text, if a database can hold it and, unless `blank`, something in it can be seen."""
    if not isinstance(value, str):
        raise BadRow(f"{what} is not text")
    if len(value) > LONGEST_TEXT:
        raise BadRow(f"{what} is longer than {LONGEST_TEXT:,} characters")
    if "\x00" in value:
        raise BadRow(f"{what} contains a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f"{what} contains half a character (a lone surrogate)") from error
    if not blank and not value.strip():
        raise BadRow(f"{what} is empty")
    return value


def conversation_of(value: object, what: str, found: Found) -> Turns:
    """A conversation: text is the user's turn, or a transcript that names who speaks."""
    if isinstance(value, str):
        return transcript_of(value, what, found) or (said("user", text_of(value, what)),)
    if not isinstance(value, list) or not value:
        raise BadRow(f"{what} is not a string, and not a list of messages")
    turns = (turn_of(turn, what, found) for turn in value)
    return tuple(turn for turn in turns if turn is not None)


def turn_of(turn: Any, what: str, found: Found) -> Message | None:  # noqa: ANN401
    """One message; None for a system message without words."""
    if not isinstance(turn, dict):
        raise BadRow("a message is not an object with role and content")
    role, content = (next((n for n in names if n in turn), names[0]) for names in SPOKEN)
    found.unused.update(f"{what}[].{name}" for name in turn.keys() - {role, content})
    speaker = turn.get(role)
    if not isinstance(speaker, str) or speaker not in ROLES:
        raise BadRow("a message's role is not system, user or assistant")
    words = turn.get(content)
    if ROLES[speaker] == "system" and isinstance(words, str) and not words.strip():
        found.left_out[EMPTY_SYSTEM] += 1
        return None
    return said(ROLES[speaker], text_of(words, "a message"))


def said(role: str, text: str) -> Message:
    """A turn."""
    return Message(role=role, content=text)


def asked(turns: Sequence[Message]) -> Turns:
    """The turns, if they end with the user's."""
    if not turns or turns[-1].role != "user":
        raise BadRow("the last message is not the user's")
    return tuple(turns)


def transcript_of(text: str, what: str, found: Found) -> Turns | None:
    """The turns of a text in which “Human:” and “Assistant:” speak in turn; None if it is no such text.

    An “Assistant:” at its end, after which the answer would come, is no turn.
    """
    parts = TRANSCRIPT.split(text)
    speakers, words = parts[1::2], parts[2::2]
    if parts[0].strip() or not speakers or speakers[0] != "Human":
        return None
    if any(one == next_ for one, next_ in pairwise(speakers)):
        return None
    if speakers[-1] == "Assistant" and not words[-1].strip():
        speakers, words = speakers[:-1], words[:-1]
    found.notes[AS_TURNS] += 1
    roles = ("user" if speaker == "Human" else "assistant" for speaker in speakers)
    # One space stands between a name and what it says.
    turns = zip(roles, (text_of(said_, what).removeprefix(" ") for said_ in words), strict=True)
    return tuple(said(role, words_) for role, words_ in turns)
