"""Rows that are longer than what a model reads at once: refused, dropped or cut, before a model is loaded.

The tokenizer and the configuration of a model's folder decide. An answer is never cut: a label whose answer
does not fit is none. A cut takes a conversation's oldest turns first, then the beginning of its last
turn's text; the system's turn stays, and the template writes what is left, so that it begins and ends as ever.
Pairs, rankings and ties stay whole or go as wholes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

from transformers import AutoConfig, PreTrainedTokenizerBase

from alignment.kinds.adopt.settings import EndingName
from alignment.kinds.settings.overlong import OverlongName
from alignment.models import encoder_decoders
from alignment.models.checks import check_apart
from alignment.models.conversations import answered, prompt_ids, text_ids
from alignment.models.joining import behind_turn
from alignment.models.loading import (
    REWARD,
    check_folder_is_there,
    generation_of,
    naming,
    refusing,
    tokenizer_of,
)
from alignment.seam.architectures import family_in
from alignment.seam.errors import DataError
from alignment.seam.events import Fitted
from alignment.seam.modelfiles import read_object
from alignment.seam.progress import through
from alignment.seam.records import ClassedRecord, Message, PromptRecord, texts_of
from alignment.seam.words import _

SHOWN = 60  # characters of a row that is refused
MARKS = 3  # of a masked model: at its beginning, and after each of two texts
LONG = "sequence-length-is-longer-than-the-specified-maximum"  # what a tokenizer warns of


R = TypeVar("R")
Excess = Callable[
    [Sequence[Message]], int
]  # tokens of a prompt that are too many; 0 and below: it fits


@dataclass(frozen=True)
class Reader:
    """A model as one who reads rows: its tokenizer, and how many tokens it reads at once.

    Beside prompt and answer stand `end`, the token that closes a policy's answer, and a masked model's `marks`.
    """

    tokenizer: PreTrainedTokenizerBase
    context: int
    end: int = 1
    marks: int = 0

    @classmethod
    def of(cls, folder: Path) -> "Reader":
        """The policy of a folder; raises DataError where there is none."""
        tokenizer, context = _loaded(folder)
        if family_in(folder):
            return ReaderApart(tokenizer, context, starts=_starts_in(folder))
        return cls(tokenizer, context)

    @classmethod
    def of_reward(cls, folder: Path) -> "Reader":
        """The reward model of a folder, or the backbone of one, which may be masked: it says so by its marks."""
        tokenizer, context = _loaded(folder)
        if family_in(folder):
            return ReaderApart(tokenizer, context, end=0, starts=_starts_in(folder))
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            return cls(tokenizer, context, end=_closing_in(folder, tokenizer))
        return cls(tokenizer, min(context, tokenizer.model_max_length), end=0, marks=MARKS)

    def longest(self, prompt: Sequence[Message], texts: Sequence[str]) -> int:
        """The tokens that the longest of some answers to a prompt adds to it, its end among them."""
        asked = len(prompt_ids(self.tokenizer, prompt))
        found = [answered(self.tokenizer, prompt, text) for text in texts]
        whole = max(len(one.prompt) + len(one.completion) - one.closed for one in found)
        return self.end + whole - asked

    def excess(self, prompt: Sequence[Message], room: int) -> int:
        """By how many tokens a prompt is too long to leave room for an answer of so many, its end among them.

        No prompt fits where there is no room for a token of it.
        """
        most = self.context - room - self.marks
        return max(len(prompt_ids(self.tokenizer, prompt)), 1) - max(most, 0)


@dataclass(frozen=True)
class ReaderApart(Reader):
    """An encoder-decoder: its context is that of a prompt, and that of an answer with what answers begin with."""

    starts: int = 1

    def longest(self, prompt: Sequence[Message], texts: Sequence[str]) -> int:
        """The tokens of the longest of some answers, its end among them."""
        found = [encoder_decoders.answered_apart(self.tokenizer, prompt, text) for text in texts]
        return self.end + max(len(one.completion) for one in found)

    def excess(self, prompt: Sequence[Message], room: int) -> int:
        """By how many tokens a prompt is too long; no prompt fits beside an answer that does not."""
        fits = self.starts + room - self.end <= self.context  # nobody reads an answer's end
        most = self.context if fits else 0
        return max(len(encoder_decoders.encoder_ids(self.tokenizer, prompt)), 1) - most


def closing_tokens(tokenizer: PreTrainedTokenizerBase, reads: EndingName) -> int:
    """How many tokens a reward model that reads so reads behind an answer."""
    return 0 if reads == "open" else 1 + len(behind_turn(tokenizer, ended=reads == "ended"))


def _closing_in(folder: Path, tokenizer: PreTrainedTokenizerBase) -> int:
    """The same of a folder's reward model; none where it is a backbone."""
    stored = read_object(folder / REWARD) if (folder / REWARD).is_file() else {}
    return closing_tokens(tokenizer, stored.get("reads", "open"))


def _starts_in(folder: Path) -> int:
    """How many tokens the answers of a folder's encoder-decoder begin with; raises DataError as `starts_of` does."""
    with refusing("config.json cannot be understood"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        told = SimpleNamespace(config=config, generation_config=generation_of(folder, config))
    return len(encoder_decoders.starts_of(told))


def policies_of(*folders: Path) -> list[Reader]:
    """The policies of folders, each once."""
    return [
        Reader.of(folder) for folder in {folder.resolve(): folder for folder in folders}.values()
    ]


def _loaded(folder: Path) -> tuple[PreTrainedTokenizerBase, int]:
    """A folder's tokenizer and the context that its configuration tells; no weights are read."""
    with naming(folder, "model"):
        check_folder_is_there(folder)
        check_apart(folder)
        tokenizer = tokenizer_of(folder)
        with refusing("config.json cannot be understood"):
            text = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            ).get_text_config()
    tokenizer.deprecation_warnings[LONG] = True  # we say it ourselves
    told = getattr(text, "max_position_embeddings", None)
    return tokenizer, int(told or tokenizer.model_max_length)


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

    def excess(turns: Sequence[Message]) -> int:
        return max(reader.excess(turns, room) for reader in readers)

    def shorter(prompt: PromptRecord) -> PromptRecord | None:
        return shortened(prompt, excess)

    return _sifted(prompts, role, overlong, limit, lambda one: excess(one.messages) <= 0, shorter)


def fitting_labels(
    labels: Sequence[Any], role: str, readers: Sequence[Reader], overlong: OverlongName
) -> Fitting:
    """The labels, demonstrations or completions that fit every context; raises DataError as `_sifted` does."""

    def beside(label: Any) -> Excess:  # noqa: ANN401 - a record of any kind
        prompt, texts = label.prompt.messages, texts_of(label)
        rooms = [(reader, reader.longest(prompt, texts)) for reader in readers]
        return lambda turns: max(reader.excess(turns, room) for reader, room in rooms)

    def shorter(label: Any) -> Any | None:  # noqa: ANN401
        prompt = shortened(label.prompt, beside(label))
        return None if prompt is None else label.model_copy(update={"prompt": prompt})

    def whole(label: Any) -> bool:  # noqa: ANN401
        return beside(label)(label.prompt.messages) <= 0

    return _sifted(labels, role, overlong, _least(readers), whole, shorter)


def fitting_texts(
    rows: Sequence[ClassedRecord], role: str, reader: Reader, overlong: OverlongName
) -> Fitting:
    """The texts that fit a context by themselves; raises DataError as `_sifted` does. A cut takes their oldest words."""
    room = reader.context - max(0, reader.marks - 1) - 1  # and the token that some begin with

    def excess(text: str) -> int:
        return len(text_ids(reader.tokenizer, text)) - room

    def shorter(row: ClassedRecord) -> ClassedRecord | None:
        text, last = row.completion, len(row.completion.rstrip()) - 1
        if last < 1 or excess(text[last:]) > 0:
            return None
        start = _root(lambda place: excess(text[place:]), last)
        return row.model_copy(update={"completion": text[start:]})

    limit = _least([reader])
    return _sifted(rows, role, overlong, limit, lambda row: excess(row.completion) <= 0, shorter)


def shortened(prompt: PromptRecord, excess: Excess) -> PromptRecord | None:
    """The newest part of a prompt that fits, under the same key; None where no part does."""
    found = next((turns for turns in _later(prompt.messages) if excess(turns) <= 0), None)
    if found is None:
        found = _last_words(prompt.messages, excess)
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


def _last_words(messages: Sequence[Message], excess: Excess) -> list[Message] | None:
    """The last turn without the beginning of its text, as much of it as fits."""
    system, turns = _parted(messages)
    text = turns[-1].content

    def cut(start: int) -> list[Message]:
        return [*system, Message(role="user", content=text[start:])]

    last = len(text.rstrip()) - 1
    if last < 1 or excess(cut(last)) > 0:
        return None
    return cut(_root(lambda start: excess(cut(start)), last))


def _root(falling: Callable[[int], int], high: int) -> int:
    """A whole number where a function that falls, and is not above 0 at `high`, is 0, or has just come below.

    Regula falsi, since each value takes long; the value of the end that stays is halved, as the Illinois method
    does, so that no end stays for ever.
    """
    low, above, below = 0, float(falling(0)), float(falling(high))
    if above <= 0:
        return 0
    while high - low > 1 and below < 0:
        guess = low + round((high - low) * above / (above - below))
        middle = min(max(guess, low + 1), high - 1)
        value = falling(middle)
        if value > 0:
            low, above, below = middle, float(value), below / 2
        else:
            high, below, above = middle, float(value), above / 2
    return high


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
    for row in through(rows, len(rows)):
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
    """How the last turn of a row's prompt begins, or its text where it has none."""
    if isinstance(row, ClassedRecord) and not row.prompt.messages:
        return row.completion[:SHOWN]
    prompt: PromptRecord = row if isinstance(row, PromptRecord) else getattr(row, "prompt")  # noqa: B009
    return prompt.text[:SHOWN]


def _refusal(told: Fitted, start: str, overlong: OverlongName) -> str:
    rows = f"of {told.read:,} rows of {told.role}"
    fail = "does not fit" if told.dropped == 1 else "do not fit"
    lead = f"None {rows} fits" if told.dropped == told.read else f"{told.dropped:,} {rows} {fail}"
    lower = ", lower the completion length limit" if " beside " in told.limit else ""
    ways = {
        "refuse": ", or let too long rows be dropped or cut (overlong: drop, cut_left)",
        "drop": ", let prompts be cut (overlong: cut_left), or take a model of a longer context",
        "cut_left": ", or take a model of a longer context",
    }
    way = _("Shorten them{lower}{ways}.").format(lower=lower, ways=ways[overlong])
    return f"{lead} {told.limit}; the first asks “{start}…”. {way}"
