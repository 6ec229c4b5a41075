"""The rows that cross the seam between the web app and the trainer, as JSON lines.

Torch-free: the web app writes and reads them, the trainer does too.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from operator import not_
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from alignment.seam.errors import DataError
from alignment.seam.words import _

R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")
_written = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` makes one each time
EXACT = 1e-10  # relative: far above what fp64 rounds away, far below what a wrong formula gives
Split = Literal["train", "validation", "test"]
SPLIT_SHARES: Mapping[Split, int] = {"train": 60, "validation": 20, "test": 20}  # percent


def without_nul(text: str) -> str:
    """The text with a replacement sign for each NUL, which no database of ours stores."""
    return text.replace("\0", "\ufffd")


Text = Annotated[str, AfterValidator(without_nul)]  # what a model may have written


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")


class ToolCall(_Record):
    """A call of a tool; `arguments` is the JSON text of an object, `id` what its answer names it by."""

    name: str = Field(min_length=1)
    arguments: str = "{}"
    id: str = Field(default="", exclude_if=not_)

    @model_validator(mode="after")
    def _arguments_are_an_object(self) -> "ToolCall":
        if not isinstance(json.loads(self.arguments), dict):
            raise ValueError("the arguments of a call are not an object")
        return self


class Message(_Record):
    """One turn of a conversation; what has to do with tools is written only where it is there.

    `tool_calls` are the assistant's, `tool_call_id` and `name` say which call a tool answers. `tools`, of a first
    turn, is the JSON text of what the conversation may call (`alignment.seam.tools`).
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = Field(default=(), exclude_if=not_)
    tool_call_id: str = Field(default="", exclude_if=not_)
    name: str = Field(default="", exclude_if=not_)
    tools: str = Field(default="", exclude_if=not_)

    @model_validator(mode="after")
    def _says_something(self) -> "Message":
        if not (self.content or self.tool_calls or self.role == "tool"):
            raise ValueError("a message has no content")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether it has nothing to do with tools."""
        extras = self.tool_calls or self.tool_call_id or self.name or self.tools
        return self.role != "tool" and not extras


class PromptRecord(_Record):
    """A conversation that ends with the user's turn or a tool's answer; `key` identifies it everywhere.

    `columns`, for rewards from code, is the JSON text of an object: what else its row holds.
    """

    key: str
    messages: tuple[Message, ...]
    columns: str = Field(default="", exclude_if=not_)

    @property
    def text(self) -> str:
        """What the user asks now: the last of their turns."""
        asked = (turn.content for turn in reversed(self.messages) if turn.role == "user")
        return next(asked, self.messages[-1].content)

    @property
    def uses_tools(self) -> bool:
        """Whether its conversation may call tools, or has called some."""
        return not all(turn.is_plain for turn in self.messages)


class PairRecord(_Record):
    """A preference: `chosen` is better than `rejected` as an answer to the prompt."""

    kind: Literal["pair"] = "pair"
    prompt: PromptRecord
    chosen: str
    rejected: str
    strength: int = Field(default=1, ge=1, le=3)  # 1 slightly, 2 better, 3 much better
    annotator: str = ""
    left_won: bool | None = None  # whether `chosen` stood left; None where no sides were shown
    group: str = ""  # pairs of one ranking share it
    margin: float = Field(default=0.0, ge=-1e3, le=1e3, exclude_if=not_)  # nats it should lead by
    category: str = Field(default="", exclude_if=not_)  # what it is about, in a file of tests


class TieRecord(_Record):
    """No preference: the answers are equally good, or both are bad."""

    kind: Literal["tie"] = "tie"
    prompt: PromptRecord
    left: str
    right: str
    both_bad: bool = False
    annotator: str = ""


class RankingRecord(_Record):
    """Answers with their ranks, 0 for the best; nothing is said between answers of one rank."""

    kind: Literal["ranking"] = "ranking"
    prompt: PromptRecord
    completions: tuple[str, ...] = Field(min_length=2)
    ranks: tuple[Annotated[int, Field(ge=0, le=10_000)], ...]
    annotator: str = ""

    @model_validator(mode="after")
    def _each_has_a_rank(self) -> "RankingRecord":
        if len(self.ranks) != len(self.completions):
            raise ValueError("there must be one rank for each completion")
        return self


class ThumbRecord(_Record):
    """An answer that was found good or bad by itself."""

    kind: Literal["thumb"] = "thumb"
    prompt: PromptRecord
    completion: str
    good: bool
    annotator: str = ""


class RatingRecord(_Record):
    """A mark for one answer, from 1, the worst, to `levels`."""

    kind: Literal["rating"] = "rating"
    prompt: PromptRecord
    completion: str
    rating: int = Field(ge=1)
    levels: int = Field(default=5, ge=2, le=100)
    annotator: str = ""

    @model_validator(mode="after")
    def _within_its_scale(self) -> "RatingRecord":
        if self.rating > self.levels:
            raise ValueError(f"a rating of {self.rating} on a scale to {self.levels}")
        return self


def _kind(row: Any) -> str:  # noqa: ANN401 - whatever a line holds
    found = row.get("kind", "pair") if isinstance(row, dict) else getattr(row, "kind", None)
    return str(found)


LabelRecord = PairRecord | TieRecord | RankingRecord | ThumbRecord | RatingRecord
_LABELS: TypeAdapter[LabelRecord] = TypeAdapter(
    Annotated[
        Annotated[PairRecord, Tag("pair")]
        | Annotated[TieRecord, Tag("tie")]
        | Annotated[RankingRecord, Tag("ranking")]
        | Annotated[ThumbRecord, Tag("thumb")]
        | Annotated[RatingRecord, Tag("rating")],
        Discriminator(
            _kind,
            custom_error_type="label",
            custom_error_message="the kind is none of pair, tie, ranking, thumb and rating",
        ),
    ]
)


class FlagRecord(_Record):
    """What somebody found of an answer by itself: the flags that hold for it, or that none does."""

    kind: Literal["flag"] = "flag"
    prompt: PromptRecord
    completion: str
    flags: tuple[str, ...] = ()
    annotator: str = ""


class DemonstrationRecord(_Record):
    """An answer worth imitating, by a person or chosen by one."""

    prompt: PromptRecord
    completion: str


class JudgedRecord(_Record):
    """What one person said of answers at once, and the flags that they set beside it.

    `asked` says whether they saw flags at all: what a file brought was said elsewhere.
    """

    labels: tuple[
        Annotated[
            PairRecord | TieRecord | RankingRecord | ThumbRecord | RatingRecord | FlagRecord,
            Discriminator("kind"),
        ],
        ...,
    ]
    flags: tuple[str, ...] = ()
    asked: bool = True


class ClassedRecord(_Record):
    """A text that somebody gave a class, or several people did; its prompt has no turns where it stands alone."""

    prompt: PromptRecord
    completion: str
    votes: Mapping[str, int]  # by class


class TaggedRecord(_Record):
    """Words of a text, each with the tag that somebody gave it."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


class SpanRecord(_Record):
    """A question about a text, and the part of the text that answers it: from a character up to another."""

    question: str
    text: str
    start: int
    end: int


class StoredRecord(_Record):
    """An answer of any model, which may be empty; one that was cut has no end. `key` names it where it came from."""

    prompt: PromptRecord
    completion: str
    truncated: bool = False
    key: str = Field(default="", exclude_if=not_)


class ScoredRecord(_Record):
    """An answer with a reward model's score, and with the scores of its heads where there are several."""

    prompt: PromptRecord
    completion: str
    key: str
    score: float
    heads: tuple[float, ...] = Field(default=(), exclude_if=not_)


class MeasuredRecord(_Record):
    """What a reward model says of a pair: by how many nats the preferred answer is ahead."""

    prompt_key: str
    category: str = Field(default="", exclude_if=not_)
    margin: float


class AskedRecord(_Record):
    """Two answers that people were asked to compare."""

    prompt: PromptRecord
    completions: tuple[str, str]


class ProposedRecord(_Record):
    """Two answers, by their keys, that people could compare, and what that would tell.

    `chance` is that of the first to be preferred; `information` and `entropy` are in nats: of which head is right, and
    how open the comparison is to each of them. The places in both orders count from 0; None: not among the first.
    """

    first: str
    second: str
    chance: float = Field(ge=0, le=1)
    information: float
    entropy: float
    by_ensemble: int | None = None
    by_design: int | None = None


class CompletionRecord(_Record):
    """An answer of a model, with the log-probability (nats, summed over tokens) it was drawn at.

    None stands where a server did not tell, and where it is the best of several.
    """

    prompt_key: str
    text: Text
    logps: float | None
    tokens: int | None
    truncated: bool  # cut at the length limit: no end-of-text token


class CandidateRecord(_Record):
    """One of several completions of which the best is kept, with the log-probability it was drawn at."""

    prompt_key: str
    text: Text
    logps: float | None
    score: float
    best: bool


class ScoredSample(_Record):
    """One held-out prompt answered by the reference and by the policy, scored alike."""

    prompt: PromptRecord
    before: Text
    after: Text
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


class Receipts(_Record):
    """What a run was checked for: exactness on a toy, and its log-prob contract over its steps."""

    gradient: float | None  # its error, relative to its largest entry; None: of no divergence
    total: float  # largest distance from 1 of the sum of all completions' probabilities
    mismatch: float | None = None  # nats per token, largest, between the run's sampler and scorer
    tolerance: float = 1e-3  # for `mismatch`

    def store(self, folder: Path) -> None:
        """Write them beside a result."""
        (folder / "receipts.json").write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @property
    def exact(self) -> bool:
        """Whether the toy found nothing wrong."""
        return (self.gradient is None or self.gradient <= EXACT) and self.total <= EXACT

    @property
    def agree(self) -> bool:
        """Whether sampler and scorer spoke of the same distribution."""
        return self.mismatch is None or self.mismatch <= self.tolerance

    @property
    def good(self) -> bool:
        """Whether nothing speaks against the run."""
        return self.exact and self.agree

    @property
    def sentences(self) -> str:
        """What was found, for people."""
        kind = "on a toy with this run's divergence, target and estimator"
        said = []
        if self.gradient is not None:
            off = f"the gradient is off by {self.gradient:.0e} of its size {kind}"
            right = self.gradient <= EXACT
            said.append(f"Exact to {self.gradient:.0e} {kind}" if right else f"Not exact: {off}")
        sums = f"probabilities sum to 1 within {self.total:.0e}"
        said.append(sums if self.total <= EXACT else f"not normalised: {sums} only")
        if self.mismatch is not None:
            verb = "agree to" if self.agree else "do not agree: they differ by"
            said.append(f"sampler and scorer {verb} {self.mismatch:.0e}")
        text = "; ".join(said)
        return f"{text[0].upper()}{text[1:]}."


def texts_of(
    label: LabelRecord | FlagRecord | DemonstrationRecord | StoredRecord | ClassedRecord,
) -> tuple[str, ...]:
    """The completions that a label is about, the chosen one first; of other records the only one."""
    match label:
        case PairRecord():
            return label.chosen, label.rejected
        case TieRecord():
            return label.left, label.right
        case RankingRecord():
            return label.completions
    return (label.completion,)


def prompt_key(messages: Iterable[Message]) -> str:
    """SHA-256 of the conversation: the same prompt has the same key in every project."""
    return hashlib.sha256(f"[{', '.join(map(_in_key, messages))}]".encode()).hexdigest()


def _in_key(message: Message) -> str:
    """A turn as JSON; a plain one without the encoder, since files have millions."""
    if message.is_plain:
        return f'["{message.role}", {encode_basestring(message.content)}]'
    rest = message.model_dump(exclude={"role", "content"})
    return _written([message.role, message.content, rest])


def split_of(key: str) -> Split:
    """The split a prompt belongs to, decided by its key alone so that no prompt leaks across."""
    percentile = int(key[:8], 16) % 100
    for split, share in SPLIT_SHARES.items():
        if percentile < share:
            return split
        percentile -= share
    raise AssertionError("the shares of SPLIT_SHARES add up to 100")


def split_of_prompt(messages: Sequence[Message], key: str = "") -> Split:
    """The split of a conversation: that of its opening, so that no later turn leaks across.

    Its own key, where it is known, saves the hash of one that is its own opening.
    """
    if key and len(messages) == 1 and _opened_by(messages[0]) is messages[0]:
        return split_of(key)
    return split_of(opening_key(messages))


def opening_key(messages: Sequence[Message]) -> str:
    """The key of what a conversation begins with, up to the user's first turn; spaces around it do not count.

    Nor do tools: the same question with and without them stays on one side.
    """
    asked = [place for place, turn in enumerate(messages) if turn.role == "user"]
    opening = messages[: asked[0] + 1] if asked else messages
    return prompt_key(map(_opened_by, opening))


def _opened_by(turn: Message) -> Message:
    """A turn as it counts in an opening."""
    text = turn.content.replace("\r\n", "\n").strip() or turn.content
    if text == turn.content and not turn.tools:
        return turn
    return turn.model_copy(update={"content": text, "tools": ""})


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
    return _parsed(path, record.model_validate_json)


def read_labels(path: Path) -> Iterator[LabelRecord]:
    """Labels of every `kind`, "pair" where a line has none; raises DataError as `read_jsonl`."""
    return _parsed(path, _LABELS.validate_json)


def _parsed(path: Path, parse: Callable[[str], T]) -> Iterator[T]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield parse(line)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise DataError(
                    _("{name}, line {number}: {reason}.").format(
                        name=path.name, number=number, reason=reason
                    )
                ) from error
