"""What a row of a file becomes, and what of it does not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from alignment.seam.records import Message

Turns = tuple[Message, ...]
Columns = Mapping[str, Any]
TEXTS_NAMED = 32  # whose names are kept: who reads a row asks for them again


class BadRow(ValueError):
    """A row, or a part of one, that cannot be imported; the message says why, without its place."""


@dataclass(slots=True, unsafe_hash=True)
class ImportedAnswer:
    """An answer under a key that names it for ever; rank 0 is the best of its ranking."""

    key: str
    text: str
    rank: int | None = None
    ranking: str = ""  # ranks compare within one ranking only
    about: Columns = field(default_factory=dict, compare=False)  # who wrote it, what it scored


@dataclass(slots=True, unsafe_hash=True)
class ImportedPair:
    """One answer was preferred to another, by their keys; nobody knows which stood left."""

    better: str
    worse: str
    group: str = ""  # pairs of one ranking share it
    strength: int = 1
    annotator: str = ""  # a pseudonym
    created_at: datetime | None = field(default=None, compare=False)


class Preferred(NamedTuple):
    """One of two answers is better: which position, and from 1 for slightly to 3 for much."""

    position: int
    strength: int = 1


class Tied(NamedTuple):
    """Neither of two answers is better, or both are bad."""

    both_bad: bool = False


class Ordered(NamedTuple):
    """The rank of each answer, 0 for the best; equal ranks are ties."""

    ranks: tuple[int, ...]


class Thumbed(NamedTuple):
    """An answer is good, or it is not."""

    good: bool


class Graded(NamedTuple):
    """The mark of an answer, from `lowest` to `highest`, and the marks of its attributes on the same scale.

    Where a file does not say how far the scale of a question goes, its largest mark does: `question` names it.
    """

    mark: int
    highest: int
    lowest: int = 1
    attributes: tuple[tuple[str, int], ...] = ()
    question: str = ""


class Demonstrated(NamedTuple):
    """Somebody's own answer to a prompt."""

    text: str


class Answered(NamedTuple):
    """An answer in the words of a kind of task of ours, as JSON."""

    kind: str
    answer: str


Said = Preferred | Tied | Ordered | Thumbed | Graded | Demonstrated | Answered


class Noted(NamedTuple):
    """What somebody set beside an answer, how long they looked at it, and when they gave it."""

    rationale: str = ""
    flags: tuple[str, ...] = ()
    visible_ms: int | None = None
    created_at: datetime | None = None


NOTHING = Noted()


@dataclass(slots=True, unsafe_hash=True)
class ImportedLabel:
    """What somebody said of answers, by their keys in the order in which they were seen."""

    annotator: str  # a pseudonym
    items: tuple[str, ...]
    said: Said
    noted: Noted = NOTHING


@dataclass(slots=True, unsafe_hash=True)
class ImportedPrompt:
    """A prompt of a file with the answers that came along, and what was said of them."""

    messages: Turns
    answers: tuple[ImportedAnswer, ...] = ()
    pairs: tuple[ImportedPair, ...] = ()
    labels: tuple[ImportedLabel, ...] = ()
    split: str = ""  # where the file says one
    columns: str = ""  # JSON of those that it keeps for code


def _no_counts() -> Counter[str]:
    """An empty one, without the update that its own beginning makes: there are three for each row."""
    return Counter.__new__(Counter)


@dataclass
class Found:
    """What one row holds: its prompts, and every part of it that goes no further, with why."""

    prompts: list[ImportedPrompt] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)  # parts that cannot be read
    left_out: Counter[str] = field(default_factory=_no_counts)  # readable parts that are not taken
    notes: Counter[str] = field(default_factory=_no_counts)  # how something was understood
    unused: Counter[str] = field(default_factory=_no_counts)  # columns nothing is made of
    trimmed: bool = False  # whether plain texts are wished without the spaces around them
    blank: bool = False  # whether an answer may be empty, since somebody said something of it
    keeps: bool = False  # whether prompts keep the columns beside them, for code that reads them


@lru_cache(maxsize=TEXTS_NAMED)
def content_key(text: str) -> str:
    """The name of an answer that has none: the same words to the same prompt are one answer."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"
