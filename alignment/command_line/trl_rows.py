"""JSON lines that people bring to the command line, read as our records by `alignment.rows`.

Torch-free. What a row of the web app's import becomes, it becomes here too, but that a plain text loses the
spaces around it, since the model's chat template writes what stands between texts; our own exports, and
messages, are taken as they are. Thumbs, ratings and ties, of which the web app has no import, are read here.

An empty answer is an answer wherever somebody judged it or a model gave it; a demonstration without a
word teaches nothing and is left out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from alignment.rows import answers as answered
from alignment.rows import exported, preferences
from alignment.rows import prompts as asking
from alignment.rows.formats import GUESS, format_of, in_small_letters, row_of
from alignment.rows.found import BadRow, Columns, Found, ImportedPrompt, Preferred, Tied, Turns
from alignment.rows.json_lines import rows_of
from alignment.seam.errors import DataError
from alignment.seam.records import (
    AskedRecord,
    CompletionRecord,
    DemonstrationRecord,
    JudgedRecord,
    LabelRecord,
    PairRecord,
    PromptRecord,
    RankingRecord,
    RatingRecord,
    StoredRecord,
    ThumbRecord,
    TieRecord,
    prompt_key,
)
from alignment.seam.tools import template_turn, tools_of

R = TypeVar("R", bound=BaseModel)
Read = Callable[[Any, Found], Iterator[R]]

OTHER_FORMATS = {
    "text": "a whole text, in which nothing says where the completion begins",
    "labels": "steps of a solution with a label each",
}
SILENT = "demonstrations without a word, which teach nothing"
TIED = "ties, of which no pair is made"
UNASKED = "answers, since only prompts were asked for"
TOLD = 8  # columns, and reasons of bad rows, that are told one by one


@dataclass
class Told:
    """What was read of a file, and a word for everything of it that was not."""

    leave_out: bool = False  # rows that cannot be read, instead of refusing the file
    keeps: bool = False  # the columns beside a prompt, for code that reads them
    rows: int = 0
    records: int = 0
    bad: Counter[str] = field(default_factory=Counter)  # why rows cannot be read
    first: str = ""  # of them: its line, and why
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)  # columns, and in how many rows

    def sentences(self, file: str, what: str) -> Iterator[str]:
        """What a person should know, a line each."""
        bad = self.bad.total()
        left = f", {bad:,} left out because they cannot be read" if bad else ""
        yield f"{file}: {self.rows:,} rows read, {self.records:,} {what}{left}."
        for reason, number in self.bad.most_common(TOLD):
            yield f"{file}: {number:,} left out: {reason}."
        for what_, number in self.left_out.most_common():
            yield f"{file}: {number:,} left out: {what_}."
        for note, number in self.notes.most_common():
            yield f"{file}: {number:,}: {note}."
        if self.unused:
            names = ", ".join(f"{name} ({n:,})" for name, n in self.unused.most_common(TOLD))
            more = len(self.unused) - TOLD
            others = f" and {more:,} more" if more > 0 else ""
            yield f"{file}: columns that nothing is made of, and in how many rows: {names}{others}."

    def take(self, found: Found) -> None:
        """Count what a row brought beside its records."""
        self.left_out.update(+found.left_out)
        self.notes.update(+found.notes)
        self.unused.update(+found.unused)


def prompts(path: Path, told: Told | None = None) -> Iterator[PromptRecord]:
    """The prompts of rows of any kind, texts included; raises DataError naming the first bad line."""
    return _read(path, prompts_of, told, text=True)


def demonstrations(path: Path, told: Told | None = None) -> Iterator[DemonstrationRecord]:
    """Rows of a prompt with one answer, or of messages that end with it; raises DataError."""
    return _read(path, demonstrations_of, told)


def pairs(path: Path, told: Told | None = None) -> Iterator[PairRecord]:
    """Rows that prefer one answer to another, whatever their columns; raises DataError."""
    return _read(path, pairs_of, told)


def stored(path: Path, told: Told | None = None) -> Iterator[StoredRecord]:
    """Rows of a prompt and a completion, `truncated` where it was cut; raises DataError."""
    return _read(path, stored_of, told)


def asked_pairs(path: Path, told: Told | None = None) -> Iterator[AskedRecord]:
    """Rows of pairs, of which nothing counts but that somebody compared them; raises DataError."""
    for pair in pairs(path, told):
        yield AskedRecord(prompt=pair.prompt, completions=(pair.chosen, pair.rejected))


def thumbs(path: Path, told: Told | None = None) -> Iterator[ThumbRecord]:
    """Rows of a prompt, a completion and a `label` that is true or false; raises DataError."""
    return _read(path, thumbs_of, told)


def labels(path: Path, told: Told | None = None) -> Iterator[LabelRecord]:
    """Rows of all kinds of label: pairs, ties, thumbs, rankings and ratings; raises DataError."""
    return _read(path, labels_of, told)


def judged(path: Path, told: Told | None = None) -> Iterator[JudgedRecord]:
    """Rows of labels as `labels` reads them, with a list of flags beside each; raises DataError."""
    return _read(path, judged_of, told)


def prompts_of(row: Any, found: Found) -> Iterator[PromptRecord]:  # noqa: ANN401 - whatever JSON holds
    """What a row asks, whatever else it holds."""
    if isinstance(row, dict) and not format_of(row):
        _column(row, "prompt")
    asked = _known(row, found, ())
    if found.keeps:
        found.unused.clear()
    for prompt in asked:
        record = prompt_of(prompt)
        if found.keeps:
            yield record.model_copy(update={"columns": asking.columns_of(row)})
        else:
            found.left_out[UNASKED] += len(prompt.answers)
            yield record


def demonstrations_of(row: Columns, found: Found) -> Iterator[DemonstrationRecord]:
    """An answer worth imitating; of several nothing says that they all are."""
    if preferences.fits(row) and not answered.fits(row):
        raise BadRow("it holds a preference, not a demonstration: give it as pairs")
    for prompt, text in _one(_answers(row, found, blank=True)):
        if text.strip():
            yield DemonstrationRecord(prompt=prompt, completion=text)
        else:
            found.left_out[SILENT] += 1


def stored_of(row: Columns, found: Found) -> Iterator[StoredRecord]:
    """Answers of any model; one without a word is an answer too."""
    facts = _about(row, "truncated")
    for prompt, text in _answers(row, found, "truncated", blank=True):
        yield StoredRecord(prompt=prompt, completion=text, **facts)


def thumbs_of(row: Columns, found: Found) -> Iterator[ThumbRecord]:
    """Completions that somebody liked, or did not."""
    name = next((name for name in THUMBS if row.get(name) is not None), "label")
    label = _column(row, name)
    if not isinstance(label, bool):
        raise BadRow(f"“{name}” must be true or false")
    facts = _about(row, "annotator")
    for prompt, text in _one(_answers(row, found, name, *THUMB_FACTS, blank=True)):
        yield ThumbRecord(prompt=prompt, completion=text, good=label, **facts)


def ratings_of(row: Columns, found: Found) -> Iterator[RatingRecord]:
    """Completions with a mark from 1 to `levels`, which is 5 where no row says more."""
    facts = _about(row, "levels", "annotator")
    for prompt, text in _one(_answers(row, found, "rating", "levels", *THUMB_FACTS, blank=True)):
        yield RatingRecord(prompt=prompt, completion=text, rating=row["rating"], **facts)


def rankings_of(row: Columns, found: Found) -> Iterator[RankingRecord]:
    """Completions of a prompt with their ranks, 0 for the best."""
    if not isinstance(_column(row, "completions"), list):
        raise BadRow("“completions” is not a list")
    facts = _about(row, "annotator")
    given = list(_answers({**row, "ranks": None}, found, "ranks", "annotator", blank=True))
    yield RankingRecord(
        prompt=given[0][0] if given else prompt_of(_asked(row, found)),
        completions=tuple(text for _, text in given),
        ranks=row["ranks"],
        **facts,
    )


def ties_of(row: Columns, found: Found) -> Iterator[TieRecord]:
    """Two completions of which neither was preferred; `both_bad` says that neither was good."""
    found.blank = True
    prompt = _asked(row, found, *TIE, "both_bad", "annotator")
    sides = (_column(row, name) for name in TIE)
    left, right = (
        answered.answer_of(side, prompt.messages, name, found).text
        for side, name in zip(sides, TIE, strict=True)
    )
    facts = _about(row, "both_bad", "annotator")
    yield TieRecord(prompt=prompt_of(prompt), left=left, right=right, **facts)


def pairs_of(row: Columns, found: Found) -> Iterator[PairRecord]:
    """Preferences, as a row of any known kind says them."""
    if not (preferences.fits(row) or _decides(row)):
        known = [name for name in ("chosen", "rejected") if row.get(name) is None]
        _column(row, known[0] if known else "chosen")
    facts = {}
    if not (exported.fits(row) and exported.knows(row)):
        facts = _about(row, *OF_A_PAIR) | _category(row)
    for prompt in _known(row, found, PAIR_FACTS):
        found.left_out[TIED] += sum(isinstance(label.said, Tied) for label in prompt.labels)
        yield from _preferred(prompt, facts)


def labels_of(row: Columns, found: Found) -> Iterator[LabelRecord]:
    """A label of the kind that its columns say: a pair, whatever stands beside its two answers."""
    if preferences.fits(row) or row.get("winner") is not None:
        return pairs_of(row, found)
    for name, read in KINDS.items():
        if row.get(name) is not None:
            return read(row, found)
    return pairs_of(row, found)


def judged_of(row: Columns, found: Found) -> Iterator[JudgedRecord]:
    """What one row says, with its flags."""
    flags = row.get("flags") or []
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise BadRow("“flags” is not a list of names")
    yield JudgedRecord(labels=tuple(labels_of(row, found)), flags=tuple(flags))
    found.unused.pop("flags", None)


THUMBS = ("label", "kto_tag")
THUMB_FACTS = ("annotator",)
TIE = ("left", "right")
OF_A_PAIR = ("strength", "annotator", "group", "left_won", "margin")
CATEGORIES = ("category", "subset")  # columns that name what a pair is about
PAIR_FACTS = ("prompt_key", *OF_A_PAIR, *CATEGORIES)
KINDS: Mapping[str, Callable[[Columns, Found], Iterator[LabelRecord]]] = {
    "ranks": rankings_of,
    "left": ties_of,
    "rating": ratings_of,
    **dict.fromkeys(THUMBS, thumbs_of),
}


def prompt_of(prompt: ImportedPrompt) -> PromptRecord:
    """A prompt with its key."""
    return _prompt(prompt.messages)


def _prompt(turns: Turns) -> PromptRecord:
    return PromptRecord(key=prompt_key(turns), messages=turns)


def _preferred(prompt: ImportedPrompt, facts: Mapping[str, Any]) -> Iterator[PairRecord]:
    """The pairs that a row says of a prompt's answers: outright, as labels, or by ranks."""
    texts = {answer.key: answer.text for answer in prompt.answers}
    asked = prompt_of(prompt)
    for pair in prompt.pairs:
        about = {"group": pair.group, "strength": pair.strength, **facts}
        yield PairRecord(
            prompt=asked, chosen=texts[pair.better], rejected=texts[pair.worse], **about
        )
    for label in prompt.labels:
        if isinstance(said := label.said, Preferred):
            yield PairRecord(
                prompt=asked,
                chosen=texts[label.items[said.position]],
                rejected=texts[label.items[1 - said.position]],
                strength=said.strength,
                annotator=label.annotator,
                left_won=said.position == 0,
            )
    ranked = [answer for answer in prompt.answers if answer.rank is not None]
    for one, other in permutations(ranked, 2):
        if one.ranking == other.ranking and (one.rank or 0) < (other.rank or 0):
            yield PairRecord(prompt=asked, chosen=one.text, rejected=other.text, group=one.ranking)


def _decides(row: Columns) -> bool:
    """Whether a row of another kind says which answer is better."""
    return (
        any(row.get(name) is not None for name in ("winner", "ranks")) or format_of(row) == "oasst"
    )


def _answers(
    row: Columns, found: Found, *used: str, blank: bool
) -> Iterator[tuple[PromptRecord, str]]:
    """A row's prompt with each of its answers."""
    found.blank = blank
    if isinstance(row.get("completions"), list) and "labels" in row:
        raise BadRow(f"“labels” holds {OTHER_FORMATS['labels']}")
    if not answered.fits(row):
        _without_answer(row)
    for prompt in _known(row, found, used, "answers"):
        for answer in prompt.answers:
            yield prompt_of(prompt), answer.text


def _one(answers: Iterable[tuple[PromptRecord, str]]) -> list[tuple[PromptRecord, str]]:
    """The answer, where it is one."""
    found = list(answers)
    if len(found) != 1:
        raise BadRow(f"it has {len(found)} answers to its prompt, where one is wanted")
    return found


def _without_answer(row: Columns) -> None:
    """Raise BadRow saying why a row has no answer."""
    if (name := asking.asking(row)) in asking.TALKS:
        raise BadRow(f"“{name}” does not end with the assistant's turn")
    _column(row, "completion" if name else "prompt")


def _asked(row: Columns, found: Found, *used: str) -> ImportedPrompt:
    """What a row asks, of which other columns say more."""
    return _known(row, found, used, "prompts")[0]


def _known(
    row: Any,  # noqa: ANN401 - whatever JSON holds
    found: Found,
    used: Iterable[str],
    format: str = GUESS,
) -> list[ImportedPrompt]:
    """What the reader of all rows finds in one; columns that are used elsewhere are not told."""
    if exported.fits(row) and not exported.knows(
        row
    ):  # somebody changed the prompt: a row as any other
        row = {name: value for name, value in row.items() if name != "prompt_key"}
    found.trimmed = not exported.fits(row)
    row_of(row, format, found)
    for name in used:
        found.unused.pop(name, None)
    told = (fact for prompt in found.prompts for one in prompt.answers for fact in one.about)
    found.unused.update(f"{fact} of an answer" for fact in told)  # which no record holds
    if found.bad:
        raise BadRow(found.bad[0])
    return found.prompts


def _about(row: Columns, *names: str) -> dict[str, Any]:
    """What a row says beside its texts."""
    return {name: row[name] for name in names if row.get(name) is not None}


def _category(row: Columns) -> dict[str, str]:
    """What a pair is about, where a row names it; numbers are names too."""
    told = (row.get(name) for name in CATEGORIES)
    found = next((one for one in told if isinstance(one, str | int) and one != ""), None)
    return {} if found is None else {"category": str(found)}


def _column(row: Columns, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """A column's value; raises BadRow saying what the row has instead."""
    if row.get(name) is not None:
        return row[name]
    if name in row:
        raise BadRow(f"“{name}” is null")
    for other in OTHER_FORMATS.keys() & row.keys():
        raise BadRow(f"there is no “{name}”, and “{other}” holds {OTHER_FORMATS[other]}")
    raise BadRow(f"there is no “{name}” among its columns: {', '.join(map(str, row)) or 'none'}")


def completion_rows(
    asked_for: Iterable[PromptRecord], completions: Iterable[CompletionRecord]
) -> Iterator[dict[str, Any]]:
    """Completions as rows of `prompt` and `completion`, which `demonstrations` and TRL read."""
    known = {prompt.key: _columns_of(prompt) for prompt in asked_for}
    for record in completions:
        said = {"role": "assistant", "content": record.text}
        facts = record.model_dump(include={"logps", "tokens", "truncated"})
        yield {**known[record.prompt_key], "completion": [said], **facts}


def _columns_of(prompt: PromptRecord) -> dict[str, Any]:
    """A prompt, and its tools where it has some."""
    tools = tools_of(prompt.messages)
    turns = [template_turn(turn) for turn in prompt.messages]
    return {"prompt": turns, **({"tools": tools} if tools else {})}


def _read(
    path: Path, read: Read[R], told: Told | None = None, *, text: bool = False
) -> Iterator[R]:
    """The records of all rows; bad ones are counted, and refused at the end unless they are left out."""
    told = told or Told()
    with path.open("rb") as file:
        for place, value in rows_of(file):
            told.rows += 1
            found = Found(keeps=told.keeps)
            try:
                records = list(read(_row(value, text=text), found))
            except (BadRow, ValidationError) as error:
                reason = _reason(error)
                told.bad[reason] += 1
                told.first = told.first or f"{place}: {reason}"
                continue
            told.take(found)
            told.records += len(records)
            yield from records
    if told.first and not told.leave_out:
        raise DataError(f"{path.name}, {told.first}.{_others(told)}")


def _others(told: Told) -> str:
    """How many more rows cannot be read, as another sentence."""
    more = told.bad.total() - 1
    return f" Of {told.rows:,} rows {more:,} more cannot be read." if more else ""


def _row(value: Any, *, text: bool) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, BadRow):
        raise value
    if not isinstance(value, dict) and not (text and isinstance(value, str)):
        raise BadRow("this is not a JSON object")
    return in_small_letters(value)


def _reason(error: BadRow | ValidationError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"“{'.'.join(map(str, first['loc']))}”: {first['msg']}"
    return str(error)
