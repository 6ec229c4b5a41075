"""Chat templates, written by whoever made a model: rendered in a process of its own, within limits.

Torch-free. A template is a program: it may loop for ever, or ask for all memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alignment.foreign.isolation import APART, OverrunError, RaisedError
from alignment.seam.errors import DataError
from alignment.seam.words import _

Turns = Sequence[Mapping[str, Any]]

FILE = "chat_template.jinja"
TOGETHER = 200  # conversations of one request
LENGTH = 2_000_000  # characters of them together, but for one that is longer itself


def render(
    source: str | Mapping[str, str],
    turns: Turns,
    *,
    special: Mapping[str, Any],
    generation: bool,
    file: str = FILE,
) -> str:
    """A conversation as the template writes it, as `apply_chat_template` does; raises DataError.

    `special` are the tokenizer's special tokens by name (`special_tokens_map`); `generation` asks for
    the beginning of an answer.
    """
    return render_all(source, [turns], special=special, generation=generation, file=file)[0]


def render_all(
    source: str | Mapping[str, str],
    conversations: Sequence[Turns],
    *,
    special: Mapping[str, Any],
    generation: bool,
    file: str = FILE,
) -> list[str]:
    """Many conversations, each as `render` gives it; raises DataError naming file and cause."""
    found: list[str] = []
    for part in _parts(conversations):
        try:
            found += APART.ask(
                "render",
                part,
                source=default_of(source, file),
                special=dict(special),
                generation=generation,
            )
        except OverrunError as error:
            raise DataError(
                _("{file} {error}. Use a chat template that only writes a conversation.").format(
                    file=file, error=error
                )
            ) from None
        except RaisedError as error:
            raise DataError(_refusal(file, error, part)) from None
    return found


def default_of(source: str | Mapping[str, str], file: str = FILE) -> str:
    """The template for conversations among those of a tokenizer that has several by name."""
    if isinstance(source, str):
        return source
    found = source.get("default") if isinstance(source, Mapping) else None
    if not isinstance(found, str):
        raise DataError(_("{file} holds no template that is named “default”.").format(file=file))
    return found


def _parts(conversations: Sequence[Turns]) -> Iterator[list[Turns]]:
    part: list[Turns] = []
    length = 0
    for turns in conversations:
        size = sum(len(str(value)) for turn in turns for value in turn.values())
        if part and (len(part) == TOGETHER or length + size > LENGTH):
            yield part
            part, length = [], 0
        part.append(turns)
        length += size
    if part:
        yield part


def _refusal(file: str, error: RaisedError, part: Sequence[Turns]) -> str:
    if error.place is None:
        return f"{file} is no chat template that can be used: {error}"
    roles = ", ".join(str(turn.get("role")) for turn in part[error.place])
    return f"{file} does not work for a conversation of {roles}: {error}"
