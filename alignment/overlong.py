"""Rows that are longer than what a model reads at once: refused, dropped or cut, before a model is loaded.

The tokenizer and the configuration of a model's folder decide. An answer is never cut: a label whose answer
does not fit is none. A cut takes a conversation's oldest turns first, then the beginning of its last
turn's text; the system's turn stays, and the template writes what is left, so that it begins and ends as ever.
Pairs, rankings and ties stay whole or go as wholes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from transformers import AutoConfig, PreTrainedTokenizerBase

from alignment.config.overlong import OverlongName
from alignment.conversations import answered, prompt_ids
from alignment.errors import DataError
from alignment.events import Fitted
from alignment.loading import check_folder_is_there, naming, refusing, tokenizer_of
from alignment.modelchecks import check_apart
from alignment.records import Message, PromptRecord, texts_of

SHOWN = 60  # characters of a row that is refused
END = 1  # token that a policy closes its answer with
UNLIMITED = 10**9  # tokens: what a tokenizer says that knows no limit


R = TypeVar("R")
Fits = Callable[[Sequence[Message]], bool]


@dataclass(frozen=True)
class Reader:
    """A model as one who reads rows: its tokenizer, and how many tokens it reads at once.

    `beside` counts those that stand beside prompt and answer: an end, or a masked model's marks.
    """

    tokenizer: PreTrainedTokenizerBase
    context: int
    beside: int = END

    @classmethod
    def of(cls, folder: Path) -> "Reader":
        """The policy of a folder; raises DataError where there is none."""
        tokenizer, context = _loaded(folder)
        return cls(tokenizer, context)

    @classmethod
    def of_reward(cls, folder: Path) -> "Reader":
        """The reward model of a folder, or the backbone of one, which may be masked: it says so by its marks."""
        tokenizer, context = _loaded(folder)
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            return cls(tokenizer, context, 0)
        return cls(tokenizer, min(context, tokenizer.model_max_length), 3)

    def tokens(self, prompt: Sequence[Message], text: str | None = None) -> int:
        """How long a prompt is, with an answer where there is one, but for what stands beside them."""
        if text is None:
            return len(prompt_ids(self.tokenizer, prompt))
        found = answered(self.tokenizer, prompt, text)
        return len(found.prompt) + len(found.completion) - found.closed

    def takes(self, prompt: Sequence[Message], texts: Sequence[str]) -> bool:
        """Whether it reads a prompt with each of these answers."""
        return all(self.tokens(prompt, text) + self.beside <= self.context for text in texts)

    def leaves(self, prompt: Sequence[Message], room: int) -> bool:
        """Whether a prompt leaves room for an answer of so many tokens."""
        return 0 < self.tokens(prompt) <= self.context - room - (self.beside > END) * self.beside


def _loaded(folder: Path) -> tuple[PreTrainedTokenizerBase, int]:
    with naming(folder, "model"):
        check_folder_is_there(folder)
        check_apart(folder)
        tokenizer = tokenizer_of(folder)
        with refusing("config.json cannot be understood"):
            text = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            ).get_text_config()
    return tokenizer, int(getattr(text, "max_position_embeddings", tokenizer.model_max_length))


class Fitting(NamedTuple):
    """Rows that fit, some of them cut, and the count of all."""

    rows: list[Any]
    told: Fitted


def fitting_prompts(
    prompts: Sequence[PromptRecord],
    role: str,
    readers: Sequence[Reader],
    room: int,
    overlong: OverlongName,
) -> Fitting:
    """The prompts that leave room for an answer in every context; raises DataError as `_sifted` does."""
    limit = f"{_least(readers)} beside a completion of {room:,}"

    def fits(turns: Sequence[Message]) -> bool:
        return all(reader.leaves(turns, room) for reader in readers)

    def shorter(prompt: PromptRecord) -> PromptRecord | None:
        return shortened(prompt, fits)

    return _sifted(prompts, role, overlong, limit, lambda prompt: fits(prompt.messages), shorter)


def fitting_labels(
    labels: Sequence[Any], role: str, readers: Sequence[Reader], overlong: OverlongName
) -> Fitting:
    """The labels, demonstrations or completions that fit every context; raises DataError as `_sifted` does."""

    def fits(texts: Sequence[str], turns: Sequence[Message]) -> bool:
        return all(reader.takes(turns, texts) for reader in readers)

    def shorter(label: Any) -> Any | None:  # noqa: ANN401 - a record of any kind
        prompt = shortened(label.prompt, partial(fits, texts_of(label)))
        return None if prompt is None else label.model_copy(update={"prompt": prompt})

    def whole(label: Any) -> bool:  # noqa: ANN401
        return fits(texts_of(label), label.prompt.messages)

    return _sifted(labels, role, overlong, _least(readers), whole, shorter)


def shortened(prompt: PromptRecord, fits: Fits) -> PromptRecord | None:
    """The newest part of a prompt that fits, under the same key; None where no part does."""
    found = next((turns for turns in _later(prompt.messages) if fits(turns)), None)
    if found is None:
        found = _last_words(prompt.messages, fits)
    return None if found is None else prompt.model_copy(update={"messages": tuple(found)})


def _parted(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """The system's turns, which stay, and the others."""
    first = next((at for at, turn in enumerate(messages) if turn.role != "system"), 0)
    return list(messages[:first]), list(messages[first:])


def _later(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """The conversation without its first turns, ever more of them; each begins with a turn of the user's."""
    system, turns = _parted(messages)
    for start, turn in enumerate(turns):
        if start and turn.role == "user":
            yield system + turns[start:]


def _last_words(messages: Sequence[Message], fits: Fits) -> list[Message] | None:
    """The last turn without the beginning of its text, as much of it as fits."""
    system, turns = _parted(messages)
    text = turns[-1].content

    def cut(start: int) -> list[Message]:
        return [*system, Message(role="user", content=text[start:])]

    low, high = 0, len(text.rstrip()) - 1  # the first does not fit, the second may
    if high < 1 or not fits(cut(high)):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(cut(middle)) else (middle, high)
    return cut(high)


def _sifted(
    rows: Sequence[R],
    role: str,
    overlong: OverlongName,
    limit: str,
    fits: Callable[[R], bool],
    shorter: Callable[[R], R | None],
) -> Fitting:
    """Rows that fit, of the others what the setting says; raises DataError where they are refused, or all go."""
    kept, cut, dropped = [], 0, []
    for row in rows:
        if fits(row):
            kept.append(row)
        elif overlong == "cut_left" and (short := shorter(row)) is not None:
            kept.append(short)
            cut += 1
        else:
            dropped.append(row)
    told = Fitted(role=role, read=len(rows), cut=cut, dropped=len(dropped), limit=limit)
    if dropped and (overlong == "refuse" or not kept):
        raise DataError(_refusal(told, _start(dropped[0]), overlong))
    return Fitting(kept, told)


def _least(readers: Sequence[Reader]) -> str:
    context = min(reader.context for reader in readers)
    return f"a context of {context:,} tokens"


def _start(row: object) -> str:
    """How the last turn of a row's prompt begins."""
    prompt: PromptRecord = row if isinstance(row, PromptRecord) else getattr(row, "prompt")  # noqa: B009
    return prompt.text[:SHOWN]


def _refusal(told: Fitted, start: str, overlong: OverlongName) -> str:
    number = "None" if told.dropped == told.read else f"{told.dropped:,}"
    verb = "fits" if told.dropped in (1, told.read) else "fit"
    verb = verb if number == "None" else f"do not {verb}" if told.dropped > 1 else "does not fit"
    shorter = (
        "Shorten them, lower the completion length limit"
        if " beside " in told.limit
        else "Shorten them"
    )
    ways = {
        "refuse": f"{shorter}, or let too long rows be dropped or cut (overlong: drop, cut_left).",
        "drop": f"{shorter}, let prompts be cut (overlong: cut_left), or take a model of a longer context.",
        "cut_left": f"{shorter}, or take a model of a longer context.",
    }
    return (
        f"{number} of {told.read:,} rows of {told.role} {verb} {told.limit}; the first asks "
        f"“{start}…”. {ways[overlong]}"
    )
