"""The rows that cross the seam between the web app and the trainer, as JSON lines.

Torch-free: the web app writes and reads them, the trainer does too.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alignment.errors import DataError

R = TypeVar("R", bound=BaseModel)
Split = Literal["train", "validation", "test"]
SPLIT_SHARES: Mapping[Split, int] = {"train": 60, "validation": 20, "test": 20}  # percent


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(_Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class PromptRecord(_Record):
    """A conversation that ends with the user's turn; `key` identifies it everywhere."""

    key: str
    messages: tuple[Message, ...]

    @property
    def text(self) -> str:
        """The last turn: what the user asks now."""
        return self.messages[-1].content


class PairRecord(_Record):
    """A preference: `chosen` is better than `rejected` as an answer to the prompt."""

    prompt: PromptRecord
    chosen: str
    rejected: str
    strength: int = Field(default=1, ge=1, le=3)  # 1 slightly, 2 better, 3 much better
    annotator: str = ""
    group: str = ""  # pairs of one ranking share it


class DemonstrationRecord(_Record):
    """An answer worth imitating, by a person or chosen by one."""

    prompt: PromptRecord
    completion: str


class ThumbRecord(_Record):
    """A completion that somebody liked, or did not."""

    prompt: PromptRecord
    completion: str
    good: bool


class CompletionRecord(_Record):
    """An answer of a model, with the log-probability (nats, summed over tokens) it was drawn at."""

    prompt_key: str
    text: str
    logps: float
    tokens: int
    truncated: bool  # cut at the length limit: no end-of-text token


class ScoredSample(_Record):
    """One held-out prompt answered by the reference and by the policy, scored alike."""

    prompt: PromptRecord
    before: str
    after: str
    reward_before: float
    reward_after: float
    judge_before: float | None = None
    judge_after: float | None = None


class Estimate(_Record):
    """A number with its 95 % interval over `n` prompts (or pairs); `None` says it was not estimable."""

    value: float
    low: float | None
    high: float | None
    n: int
    unit: str = ""


def prompt_key(messages: Iterable[Message]) -> str:
    """SHA-256 of the conversation: the same prompt has the same key in every project."""
    turns = [[message.role, message.content] for message in messages]
    return hashlib.sha256(json.dumps(turns, ensure_ascii=False).encode()).hexdigest()


def split_of(key: str) -> Split:
    """The split a prompt belongs to, decided by its key alone so that no prompt leaks across."""
    percentile = int(key[:8], 16) % 100
    for split, share in SPLIT_SHARES.items():
        if percentile < share:
            return split
        percentile -= share
    raise AssertionError("the shares of SPLIT_SHARES add up to 100")


def write_jsonl(path: Path, records: Iterable[BaseModel]) -> int:
    """Write the records as JSON lines; the number written."""
    count = 0
    with path.open("w", encoding="utf-8") as lines:
        for record in records:
            lines.write(record.model_dump_json() + "\n")
            count += 1
    return count


def read_jsonl(path: Path, record: type[R]) -> Iterator[R]:
    """The records of a file, in order; raises DataError naming the first line that is not one."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield record.model_validate_json(line)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise DataError(f"{path.name}, line {number}: {reason}.") from error
