"""Files of other tools, read line by line: bytes in, dataclasses out, every bad line named.

Formats: `prompts`, one prompt a line, and `oasst`, the message trees of Open-Assistant. Of a tree the
first turn is read with its answers and their ranks; later turns are left out, since their split
would not follow that of the prompt they began with.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from pydantic import ValidationError

from alignment.records import Message
from webapp.datasets.errors import ImportRefusal

LONGEST_LINE = 1_000_000  # bytes
LONGEST_KEY = 80  # characters, as Completion.key
REASONS_SHOWN = 20
BOM = b"\xef\xbb\xbf"


class BadRow(ValueError):
    """A line that cannot be imported; the message says why, without the line's number."""


@dataclass(frozen=True)
class ImportedAnswer:
    """An answer under a key that names it for ever; rank 0 is the best of its ranking."""

    key: str
    text: str
    rank: int | None = None
    ranking: str = ""  # ranks compare within one ranking only


@dataclass(frozen=True)
class ImportedPrompt:
    """A prompt of a file with the answers that came along."""

    messages: tuple[Message, ...]
    answers: tuple[ImportedAnswer, ...] = ()


class Line(NamedTuple):
    """A line of a file with its number, cut behind LONGEST_LINE bytes."""

    number: int
    content: bytes


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """The lines that are not blank; an endless one is never held in memory."""
    number = 0
    while content := file.readline(LONGEST_LINE + 2):
        number += 1
        rest = content
        while not rest.endswith(b"\n") and (rest := file.readline(LONGEST_LINE)):
            continue
        if content.strip():
            yield Line(number, content.removeprefix(BOM) if number == 1 else content)


def parse(lines: Iterable[Line], format: str) -> list[ImportedPrompt]:
    """Every prompt of a file; raises ImportRefusal naming the lines that are not one."""
    found: list[ImportedPrompt] = []
    bad: list[str] = []
    for number, row in rows_of(lines, format):
        if isinstance(row, BadRow):
            bad.append(f"line {number}: {row}")
        else:
            found.append(row)
    if bad:
        raise ImportRefusal(_reasons(bad))
    if not found:
        raise ImportRefusal("The file has no rows to import.")
    return found


def rows_of(lines: Iterable[Line], format: str) -> Iterator[tuple[int, ImportedPrompt | BadRow]]:
    """Each line's number with its prompt, or with what is wrong with it; deleted ones are left out."""
    first: dict[str, tuple[int, str]] = {}
    for number, content in lines:
        try:
            prompt = row_of(content, format)
            _check_keys(prompt, number, first)
        except BadRow as error:
            yield number, error
        else:
            if prompt:
                yield number, prompt


def row_of(content: bytes, format: str) -> ImportedPrompt | None:
    """The prompt of one line, None where it was deleted; raises BadRow."""
    return FORMATS[format](_json(content))


def _check_keys(
    prompt: ImportedPrompt | None, number: int, first: dict[str, tuple[int, str]]
) -> None:
    """The same answer may come twice, but not two answers under one name."""
    for answer in prompt.answers if prompt else ():
        line, text = first.setdefault(answer.key, (number, answer.text))
        if text != answer.text:
            raise BadRow(f"the reply {answer.key} is in line {line} too, with other words")


def _reasons(bad: list[str]) -> str:
    shown = "; ".join(bad[:REASONS_SHOWN])
    more = f"; and {len(bad) - REASONS_SHOWN} more" if len(bad) > REASONS_SHOWN else ""
    return f"Nothing was imported. Mend these lines and try again: {shown}{more}."


def _json(content: bytes) -> Any:  # noqa: ANN401 - whatever the line holds
    if len(content.rstrip(b"\r\n")) > LONGEST_LINE:
        raise BadRow(f"longer than {LONGEST_LINE:,} bytes")
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise BadRow("not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise BadRow("not JSON") from error


def _prompt(row: Any) -> ImportedPrompt:  # noqa: ANN401
    """A prompt as a string, {"prompt": …} or {"messages": […]}."""
    turns = row
    if isinstance(row, dict):
        if "prompt" not in row and "messages" not in row:
            raise BadRow("neither “prompt” nor “messages” in it")
        turns = row["prompt"] if "prompt" in row else row["messages"]
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not isinstance(turns, list) or not turns:
        raise BadRow("not a string, and not a list of messages")
    messages = tuple(_message(turn) for turn in turns)
    if messages[-1].role != "user":
        raise BadRow("the last message is not the user's")
    return ImportedPrompt(messages)


def _message(turn: Any) -> Message:  # noqa: ANN401
    if not isinstance(turn, dict):
        raise BadRow("a message is not an object with role and content")
    content = _text(turn.get("content"), "a message")
    try:
        return Message(role=turn.get("role"), content=content)
    except ValidationError as error:
        raise BadRow("a message's role is not system, user or assistant") from error


def _tree(row: Any) -> ImportedPrompt | None:  # noqa: ANN401
    """The first turn of an Open-Assistant message tree; None where it was deleted."""
    root = row.get("prompt") if isinstance(row, dict) else None
    if not isinstance(root, dict) or root.get("role") != "prompter":
        raise BadRow("no “prompt” by a prompter in it: not an Open-Assistant message tree")
    if root.get("deleted"):
        return None
    message = Message(role="user", content=_text(root.get("text"), "the prompt"))
    replies = root.get("replies", [])
    if not isinstance(replies, list):
        raise BadRow("“replies” is not a list")
    ranking = _key(row.get("message_tree_id"), "message_tree_id")
    kept = [reply for reply in replies if not (isinstance(reply, dict) and reply.get("deleted"))]
    answers = tuple(_answer(reply, ranking) for reply in kept)
    if len({answer.key for answer in answers}) < len(answers):
        raise BadRow("two replies share a message_id")
    return ImportedPrompt((message,), answers)


def _answer(reply: Any, ranking: str) -> ImportedAnswer:  # noqa: ANN401
    if not isinstance(reply, dict) or reply.get("role") != "assistant":
        raise BadRow("a reply to the prompt is not an assistant's")
    rank = reply.get("rank")
    if rank is not None and (type(rank) is not int or not 0 <= rank < 1000):
        raise BadRow("a rank is not a whole number from 0")
    key = _key(reply.get("message_id"), "message_id")
    return ImportedAnswer(key, _text(reply.get("text"), "a reply"), rank, ranking)


def _key(value: Any, name: str) -> str:  # noqa: ANN401
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
        raise BadRow(f"no {name} of at most {LONGEST_KEY} characters")
    return _text(value, name)


def _text(value: Any, what: str) -> str:  # noqa: ANN401
    """Text that a database and a browser can hold, its ends trimmed."""
    if not isinstance(value, str):
        raise BadRow(f"{what} is not text")
    if "\x00" in value:
        raise BadRow(f"{what} contains a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f"{what} contains half a character (a lone surrogate)") from error
    if not (text := value.replace("\r\n", "\n").strip()):
        raise BadRow(f"{what} is empty")
    return text


FORMATS: Mapping[str, Callable[[Any], ImportedPrompt | None]] = {
    "prompts": _prompt,
    "oasst": _tree,
}
