"""The texts that a classifier learns from: of a file, or answers of which people said something."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from alignment.kinds.classify.settings import ClassifyConfig, ClassSettings
from alignment.kinds.spec import RunSpec
from alignment.reward.labels import divided
from alignment.rows.classed import ClassedColumns, classed_rows, span_rows, tagged_rows
from alignment.rows.corpora import BadLine, Seen, file_of
from alignment.rows.tables import NAMED, refusal
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.progress import reach
from alignment.seam.records import (
    ClassedRecord,
    FlagRecord,
    JudgedRecord,
    LabelRecord,
    PairRecord,
    PromptRecord,
    RankingRecord,
    RatingRecord,
    SpanRecord,
    TaggedRecord,
    ThumbRecord,
    TieRecord,
    read_jsonl,
    texts_of,
)
from alignment.seam.words import _

FEWEST, MOST_CLASSES = 8, 200
OTHER, FLAGGED = "other", "flagged"
GOOD, BAD = "good", "bad"
R = TypeVar("R")
Read = Callable[[Path, ClassedColumns, Seen], Iterator[R | BadLine]]
Vote = tuple[
    PromptRecord, str, str
]  # a text behind its prompt, and the class that somebody gave it


@dataclass(frozen=True)
class ClassedTexts:
    """Texts with the votes for their classes; the classes in their order."""

    rows: list[ClassedRecord]
    classes: tuple[str, ...]
    bad_lines: int = 0

    @property
    def disputed(self) -> int:
        """Texts that were given different classes."""
        return sum(len(row.votes) > 1 for row in self.rows)

    def shares(self, row: ClassedRecord) -> list[float]:
        """The share of its votes that each class has."""
        total = sum(row.votes.values())
        return [row.votes.get(name, 0) / total for name in self.classes]

    def divided(self, share: float) -> tuple[list[ClassedRecord], list[ClassedRecord]]:
        """Texts to learn from and texts held out, by prompt; raises DataError where nothing could be learned."""
        fitted, held = divided(self.rows, share)
        if len({name for row in fitted for name in row.votes}) < 2:
            raise DataError(
                _(
                    "All texts that could be learned from are of the class “{name}”; a classifier needs texts of two."
                ).format(name=next(iter(fitted[0].votes)))
            )
        return fitted, held


def classed_texts(spec: RunSpec, folder: Path, config: ClassifyConfig) -> ClassedTexts:
    """What the settings ask for of a run's input; raises DataError where it is too little, or cannot be read."""
    role = {"file": "texts", "people": "judged"}[config.source]
    if role not in spec.inputs:
        raise ConfigError(_("These settings need {role}, and none are given.").format(role=role))
    if config.source == "file":
        found = texts_in(file_of(folder / spec.inputs["texts"]), config)
    else:
        records = read_jsonl(folder / spec.inputs["judged"], JudgedRecord)
        found = judged_texts(records, config)
    return checked(found)


def checked(found: ClassedTexts) -> ClassedTexts:
    """The texts, if there are enough of them and two classes or more, but not too many."""
    if len(found.rows) < FEWEST:
        raise DataError(
            _("There are {n} texts with a class; a classifier needs at least {least}.").format(
                n=len(found.rows), least=FEWEST
            )
        )
    if len(found.classes) > MOST_CLASSES:
        raise DataError(
            _(
                "There are {n:,} different classes, the first of them “{name}”, and at most {most} can be told; "
                "is another column meant?"
            ).format(n=len(found.classes), name=found.classes[0], most=MOST_CLASSES)
        )
    if len(seen := {name for row in found.rows for name in row.votes}) < 2:
        raise DataError(
            _("All {n:,} texts are of the class “{name}”; a classifier needs texts of two.").format(
                n=len(found.rows), name=seen.pop()
            )
        )
    return found


def texts_in(path: Path, config: ClassSettings) -> ClassedTexts:
    """The texts of a file; raises DataError naming the first rows that cannot be read, unless they are left out."""
    rows, count = good_rows(path, config, classed_rows)
    votes = ((row.prompt, row.completion, name) for row in rows for name in row.votes)
    names = {name for row in rows for name in row.votes}
    return ClassedTexts(tallied(votes), in_order(names), count)


def good_rows(path: Path, config: ClassSettings, read: Read[R]) -> tuple[list[R], int]:
    """The rows of a file that can be read, and how many cannot; raises DataError unless these are left out."""
    columns = ClassedColumns(config.text_column, config.class_column, config.prompt_column)
    size, bad, count = max(1, path.stat().st_size), list[BadLine](), 0
    rows: list[R] = []
    for row in read(path, columns, lambda seen: reach(seen / size)):
        if not isinstance(row, BadLine):
            rows.append(row)
        else:
            count += 1
            bad += [row] * (len(bad) < NAMED)
    if bad and config.bad_lines == "refuse":
        raise refusal(bad, count)
    return rows, count


def worded_rows(
    spec: RunSpec, folder: Path, config: ClassifyConfig
) -> tuple[list[TaggedRecord] | list[SpanRecord], int]:
    """Words with tags, or questions with answers, of a run's file, and how many rows cannot be read; raises DataError."""
    if "texts" not in spec.inputs:
        raise ConfigError(_("These settings need {role}, and none are given.").format(role="texts"))
    path = file_of(folder / spec.inputs["texts"])
    if config.head == "word":
        found: tuple[list[TaggedRecord] | list[SpanRecord], int] = good_rows(
            path, config, tagged_rows
        )
    else:
        found = good_rows(path, config, span_rows)
    if len(found[0]) < FEWEST:
        raise DataError(
            _("There are {n} texts that can be read; {least} are needed at least.").format(
                n=len(found[0]), least=FEWEST
            )
        )
    return found


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names by their letters, whole numbers by their size."""
    return tuple(
        sorted(names, key=lambda name: (not name.isdecimal(), len(name) * name.isdecimal(), name))
    )


def judged_texts(records: Iterable[JudgedRecord], config: ClassSettings) -> ClassedTexts:
    """Answers of which people said something, by what it means for the settings."""
    if config.meaning == "flags":
        named = FLAGGED if config.flag == "any" else config.flag
        return ClassedTexts(tallied(_flag_votes(records, config, named)), (OTHER, named))
    votes = (
        vote for record in records for label in record.labels for vote in _verdict_votes(label)
    )
    return ClassedTexts(tallied(votes), (BAD, GOOD))


def _flag_votes(
    records: Iterable[JudgedRecord], config: ClassSettings, named: str
) -> Iterator[Vote]:
    """One vote of each person who saw flags, for each answer that they saw."""
    for record in records:
        if not record.asked:
            continue
        set_ = bool(record.flags) if config.flag == "any" else config.flag in record.flags
        about = texts_of if config.flagged == "both" else worse
        flagged = {text for label in record.labels for text in about(label)} if set_ else set()
        shown = {text: label.prompt for label in record.labels for text in texts_of(label)}
        for text, prompt in shown.items():
            yield prompt, text, named if text in flagged else OTHER


def worse(label: LabelRecord | FlagRecord) -> Sequence[str]:
    """The answers that were not preferred; all where none was."""
    match label:
        case PairRecord():
            return (label.rejected,)
        case RankingRecord() if len(set(label.ranks)) > 1:
            rows = zip(label.completions, label.ranks, strict=True)
            return [text for text, rank in rows if rank > min(label.ranks)]
    return texts_of(label)


def _verdict_votes(label: LabelRecord | FlagRecord) -> Iterator[Vote]:
    """Which answers a label finds good, and which bad."""
    for text, is_good in _verdicts(label).items():
        yield label.prompt, text, GOOD if is_good else BAD


def _verdicts(label: LabelRecord | FlagRecord) -> Mapping[str, bool]:
    match label:
        case PairRecord():
            return {label.rejected: False, label.chosen: True}
        case TieRecord():
            return {label.left: False, label.right: False} if label.both_bad else {}
        case RankingRecord():
            ends = {max(label.ranks): False, min(label.ranks): True}
            rows = zip(label.completions, label.ranks, strict=True)
            return {text: ends[rank] for text, rank in rows if rank in ends and len(ends) > 1}
        case ThumbRecord():
            return {label.completion: label.good}
        case FlagRecord():
            return {}
        case RatingRecord():
            middle = (1 + label.levels) / 2
            return {label.completion: label.rating > middle} if label.rating != middle else {}


def tallied(votes: Iterable[Vote]) -> list[ClassedRecord]:
    """Each text behind its prompt once, with all votes for its classes, in the order in which they came."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    prompts: dict[str, PromptRecord] = {}
    for prompt, text, name in votes:
        counts.setdefault((prompt.key, text), Counter())[name] += 1
        prompts[prompt.key] = prompt
    return [
        ClassedRecord(prompt=prompts[key], completion=text, votes=dict(found))
        for (key, text), found in counts.items()
    ]
