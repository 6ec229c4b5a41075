"""JSON lines in TRL's dataset formats, read as our records: plain text and lists of messages.

Torch-free. Plain text becomes a user's turn and an answer without the spaces around it, since the
model's chat template writes what stands between them. TRL has no format for rankings and ratings; ours
follow it. Other columns are ignored, but for those of a label that our own exports carry.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from alignment.errors import DataError
from alignment.records import (
    CompletionRecord,
    DemonstrationRecord,
    LabelRecord,
    Message,
    PairRecord,
    PromptRecord,
    RankingRecord,
    RatingRecord,
    StoredRecord,
    ThumbRecord,
    TieRecord,
    prompt_key,
)

R = TypeVar("R", bound=BaseModel)
Row = Mapping[str, Any]
Turns = tuple[Message, ...]

ROLES = ("system", "user", "assistant")
OTHER_FORMATS = {
    "text": "a whole text, in which nothing says where the completion begins",
    "completions": "steps of a solution with a label each",
}


def prompts(path: Path) -> Iterator[PromptRecord]:
    """Rows with a `prompt`, or JSON strings; raises DataError naming the first line that is neither."""
    return _read(path, prompt_of)


def demonstrations(path: Path) -> Iterator[DemonstrationRecord]:
    """Rows of `prompt` and `completion`, or of `messages` that end with the answer; raises DataError."""
    return _read(path, demonstration_of)


def pairs(path: Path) -> Iterator[PairRecord]:
    """Rows of `chosen` and `rejected`, their prompt apart or at the start of both; raises DataError."""
    return _read(path, pair_of)


def stored(path: Path) -> Iterator[StoredRecord]:
    """Rows of `prompt` and `completion`, `truncated` where it was cut; raises DataError."""
    return _read(path, stored_of)


def thumbs(path: Path) -> Iterator[ThumbRecord]:
    """Rows of `prompt`, `completion` and a `label` that is true or false; raises DataError."""
    return _read(path, thumb_of)


def labels(path: Path) -> Iterator[LabelRecord]:
    """Rows of all kinds of label: pairs, ties, thumbs, rankings and ratings; raises DataError."""
    return _read(path, label_of)


def prompt_of(row: Row | str) -> PromptRecord:
    """A prompt, as text or as a conversation that ends with the user's turn."""
    return asked(turns(row if isinstance(row, str) else column(row, "prompt"), "prompt"))


def demonstration_of(row: Row) -> DemonstrationRecord:
    """An answer worth imitating."""
    if "messages" in row:
        *before, last = turns(row["messages"], "messages")
        return DemonstrationRecord(prompt=asked(before), completion=answer([last], "messages"))
    return DemonstrationRecord(**answered(row))


def stored_of(row: Row) -> StoredRecord:
    """An answer of any model; one without a word is an answer too."""
    said = column(row, "completion")
    silent = said in ("", [{"role": "assistant", "content": ""}])
    return StoredRecord(
        prompt=asked(turns(column(row, "prompt"), "prompt")),
        completion="" if silent else answer(turns(said, "completion"), "completion"),
        **about(row, "truncated"),
    )


def thumb_of(row: Row) -> ThumbRecord:
    """A completion that somebody liked, or did not."""
    label = column(row, "label")
    if not isinstance(label, bool):
        raise ValueError("“label” must be true or false")
    return ThumbRecord(**answered(row), good=label, **about(row, "annotator"))


def rating_of(row: Row) -> RatingRecord:
    """A completion with a mark from 1 to `levels`, which is 5 where no row says more."""
    return RatingRecord(**answered(row), rating=row["rating"], **about(row, "levels", "annotator"))


def ranking_of(row: Row) -> RankingRecord:
    """Completions of a prompt with their ranks, 0 for the best."""
    completions = column(row, "completions")
    if not isinstance(completions, list):
        raise ValueError("“completions” is not a list")
    texts = tuple(answer(turns(one, "completions"), "completions") for one in completions)
    prompt = asked(turns(column(row, "prompt"), "prompt"))
    found = about(row, "annotator")
    return RankingRecord(prompt=prompt, completions=texts, ranks=row["ranks"], **found)


def tie_of(row: Row) -> TieRecord:
    """Two completions of which neither was preferred; `both_bad` says that neither was good."""
    left, right = (answer(turns(column(row, name), name), name) for name in ("left", "right"))
    prompt = asked(turns(column(row, "prompt"), "prompt"))
    return TieRecord(prompt=prompt, left=left, right=right, **about(row, "both_bad", "annotator"))


def label_of(row: Row) -> LabelRecord:
    """A label of the kind that its columns say."""
    kinds: dict[str, Callable[[Row], LabelRecord]]
    kinds = {"ranks": ranking_of, "rating": rating_of, "label": thumb_of, "left": tie_of}
    return next((read for name, read in kinds.items() if name in row), pair_of)(row)


def about(row: Row, *names: str) -> dict[str, Any]:
    """What a row says beside its texts."""
    return {name: row[name] for name in names if row.get(name) is not None}


def answered(row: Row) -> dict[str, Any]:
    """A prompt and its completion."""
    prompt, completion = (turns(column(row, name), name) for name in ("prompt", "completion"))
    return {"prompt": asked(prompt), "completion": answer(completion, "completion")}


def pair_of(row: Row) -> PairRecord:
    """A preference; without a `prompt`, what both sides begin with is the prompt."""
    chosen, rejected = column(row, "chosen"), column(row, "rejected")
    if type(chosen) is not type(rejected):
        raise ValueError("“chosen” and “rejected” are not of the same form")
    prompt = row.get("prompt")
    if prompt is None and not isinstance(chosen, str | list):
        raise ValueError("“chosen” is neither text nor a list of messages")
    if prompt is None:
        common = shared(chosen, rejected)
        prompt, chosen, rejected = chosen[:common], chosen[common:], rejected[common:]
    return PairRecord(
        prompt=asked(turns(prompt, "prompt")),
        chosen=answer(turns(chosen, "chosen"), "chosen"),
        rejected=answer(turns(rejected, "rejected"), "rejected"),
        **about(row, "strength", "annotator", "group", "left_won"),
    )


def completion_rows(
    asked_for: Iterable[PromptRecord], completions: Iterable[CompletionRecord]
) -> Iterator[dict[str, Any]]:
    """Completions as rows of `prompt` and `completion`, which `demonstrations` and TRL read."""
    known = {prompt.key: [turn.model_dump() for turn in prompt.messages] for prompt in asked_for}
    for record in completions:
        said = {"role": "assistant", "content": record.text}
        facts = record.model_dump(include={"logps", "tokens", "truncated"})
        yield {"prompt": known[record.prompt_key], "completion": [said], **facts}


def column(row: Row, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """A column's value; raises ValueError saying what the row has instead."""
    if name in row:
        return row[name]
    for other in OTHER_FORMATS.keys() & row.keys():
        raise ValueError(f"there is no “{name}”, and “{other}” holds {OTHER_FORMATS[other]}")
    raise ValueError(f"there is no “{name}” among its columns: {', '.join(row) or 'none'}")


def turns(value: object, name: str) -> Turns:
    """The turns of a column; text is one of the user's or, of an answer, of the assistant's."""
    if isinstance(value, str):
        role = "user" if name == "prompt" else "assistant"
        return (message({"role": role, "content": value.strip()}, name),)
    if not isinstance(value, list):
        raise ValueError(f"“{name}” is neither text nor a list of messages")
    return tuple(message(turn, name) for turn in value)


def message(turn: object, name: str) -> Message:
    """One turn; what it holds beside role and content is not read."""
    role, content = (turn.get(k) if isinstance(turn, dict) else None for k in ("role", "content"))
    if role not in ROLES:
        raise ValueError(f"“{name}” has a turn of role “{role}”; known are {', '.join(ROLES)}")
    if not isinstance(content, str) or not content:
        raise ValueError(f"“{name}” has a turn without text")
    return Message(role=role, content=content)


def asked(conversation: Sequence[Message]) -> PromptRecord:
    """A prompt with its key; raises ValueError where it does not end with the user's turn."""
    if not conversation or conversation[-1].role != "user":
        raise ValueError("the prompt does not end with the user's turn")
    return PromptRecord(key=prompt_key(conversation), messages=tuple(conversation))


def answer(conversation: Sequence[Message], name: str) -> str:
    """The text of the one turn of an assistant; raises ValueError where there are others."""
    if [turn.role for turn in conversation] != ["assistant"]:
        roles = ", ".join(turn.role for turn in conversation) or "nobody"
        raise ValueError(f"“{name}” should end with one turn of the assistant, not of {roles}")
    return conversation[0].content


def shared(chosen: Sequence[Any], rejected: Sequence[Any]) -> int:
    """How much both sides begin with, whole words of text or turns; raises ValueError for nothing."""
    pairs = enumerate(zip(chosen, rejected, strict=False))
    length = next((at for at, (a, b) in pairs if a != b), min(len(chosen), len(rejected)))
    if isinstance(chosen, str):
        length = max(chosen.rfind(space, 0, length) for space in " \n\t") + 1
    if not length:
        raise ValueError("there is no “prompt”, and “chosen” and “rejected” begin differently")
    return length


def _read(path: Path, record_of: Callable[[Any], R]) -> Iterator[R]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield record_of(_row(line, text=record_of is prompt_of))
                except ValueError as error:
                    raise DataError(f"{path.name}, line {number}: {_reason(error)}.") from error


def _row(line: str, *, text: bool) -> object:
    try:
        row = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("its lists and objects are nested too deeply") from error
    if not isinstance(row, dict) and not (text and isinstance(row, str)):
        raise ValueError("this is not a JSON object")
    return row


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"“{'.'.join(map(str, first['loc']))}”: {first['msg']}"
    return str(error)
