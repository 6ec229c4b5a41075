"""All rows of a file put together: what it brings by prompt, and a word for everything that it does not."""

import json
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import comb
from pathlib import Path
from typing import Any, Protocol, get_args

from django.utils.translation import gettext as _

from alignment.rows.formats import GUESS, row_of
from alignment.rows.found import (
    BadRow,
    Found,
    Graded,
    ImportedAnswer,
    ImportedLabel,
    ImportedPair,
    ImportedPrompt,
    Noted,
    Ordered,
    Preferred,
    Said,
    Thumbed,
    Tied,
    Turns,
    content_key,
)
from alignment.rows.json_lines import Row
from alignment.rows.judgements import SCALES
from alignment.rows.mapping import (
    Roles,
    columns_for_code,
    in_its_words,
    mapped,
    unused_columns,
)
from alignment.rows.threads import with_trees
from alignment.seam.records import Message, opening_key, prompt_key
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports.files import opened
from webapp.datasets.imports.scratch import Packed, ScratchDict

STEP = 200  # rows between two words about progress
REFUSALS = 50  # kept for the page
MOST_ROWS = 5_000_000  # good and bad ones
MOST_PROMPTS = 500_000
MOST_ANSWERS = 2_000_000
MOST_NAMES = 200  # of columns that are told one by one
FEW = 8  # pairs of a prompt that are looked through one by one
LOOKED_AT, MOST_COLUMNS = 200, 40  # rows, for columns that are shown with a value
OTHERS = "other columns"
MOST_KINDS = 30  # of what is left out, told one by one
OTHER_ONES = ": others"
ASKED_AGAIN = "prompts that stand in the file twice, taken once"
SAID_AGAIN = "preferences that stand in the file again; each of them counts"
SPLIT_TWICE = "splits of conversations whose beginning has another one already, which counts"
AGAIN = "answers that stand in the file twice, taken once"
OTHER_COLUMNS = "columns for code of prompts that came before with others, which count"
RANKED_TWICE = "answers whose rank was given twice, and differently; the first counts"


class Lines(Protocol):
    """Where lines of text are written."""

    def write(self, line: str, /) -> object:
        """Take one more."""
        ...


SAID: Mapping[str, Any] = {one.__name__: one for one in get_args(Said)}


@dataclass
class PromptFound:
    """A prompt with all that the file's rows hold about it."""

    messages: Turns
    answers: dict[str, ImportedAnswer] = field(default_factory=dict)
    pairs: list[ImportedPair] = field(default_factory=list)
    labels: list[ImportedLabel] = field(default_factory=list)
    split: str = ""  # where the file says one of its opening
    columns: str = ""  # JSON of those that it keeps for code
    said: set[ImportedPair] | None = field(default=None, compare=False)  # its pairs, where many

    def add_pair(self, pair: ImportedPair) -> bool:
        """Take one more pair; whether the same was said before."""
        if self.said is None and len(self.pairs) >= FEW:
            self.said = set(self.pairs)
        again = pair in (self.pairs if self.said is None else self.said)
        self.pairs.append(pair)
        if self.said is not None:
            self.said.add(pair)
        return again

    def ranked(self) -> int:
        """How many pairs the ranks of its answers imply."""
        ranked = [answer for answer in self.answers.values() if answer.rank is not None]
        if not ranked:
            return 0
        together = Counter(answer.ranking for answer in ranked)
        equal = Counter((answer.ranking, answer.rank) for answer in ranked)
        return sum(comb(n, 2) for n in together.values()) - sum(comb(n, 2) for n in equal.values())

    def worth_imitating(self) -> list[ImportedAnswer]:
        """Its answers but those that another was put before, or that somebody found bad or empty."""
        worse = {pair.worse for pair in self.pairs}
        for label in self.labels:
            worse |= _found_worse(label)
        return [
            answer
            for answer in self.answers.values()
            if answer.key not in worse and not answer.rank and answer.text.strip()
        ]


def _found_worse(label: ImportedLabel) -> set[str]:
    """The answers that a label puts behind others, or calls bad."""
    said, items = label.said, label.items
    if isinstance(said, Preferred):
        return {items[1 - said.position]}
    if isinstance(said, Ordered):
        return {
            item for item, rank in zip(items, said.ranks, strict=True) if rank > min(said.ranks)
        }
    bad = (isinstance(said, Thumbed) and not said.good) or (
        isinstance(said, Tied) and said.both_bad
    )
    return set(items) if bad else set()


def _packed(found: PromptFound) -> Packed:
    """What is kept of it: texts, and lists beside them, since there may be many. Pairs name answers by their places."""
    texts, turns = [found.columns], list[object]()
    for turn in found.messages:
        plain = turn.is_plain
        texts += [turn.content] if plain else []
        turns.append(turn.role if plain else turn.model_dump())
    answers = list[Sequence[object]]()
    for a in found.answers.values():
        texts += (a.key, a.text)
        more = a.rank is not None or a.ranking or a.about
        answers.append([a.rank, a.ranking, dict(a.about)] if more else ())
    places = {key: place for place, key in enumerate(found.answers)}
    pairs = [_written_pair(places[p.better], places[p.worse], p) for p in found.pairs]
    labels = _labels(found) if found.labels else ()
    rest = (tuple(turns), tuple(answers), tuple(pairs), labels, found.split)
    return texts, rest


def _labels(found: PromptFound) -> Sequence[object]:
    """What is kept of its labels."""
    return [
        [
            *(one.annotator, one.items, type(one.said).__name__, one.said),
            *one.noted[:-1],
            _moment(one.noted.created_at),
        ]
        for one in found.labels
    ]


def _unpacked(kept: Packed) -> PromptFound:
    texts, (turns, answers, pairs, labels, split) = kept
    left = iter(texts)
    columns = next(left)
    messages = [
        Message(**turn) if isinstance(turn, dict) else Message(role=turn, content=next(left))
        for turn in turns
    ]
    named = {(key := next(left)): ImportedAnswer(key, next(left), *one) for one in answers}
    keys = list(named)
    preferred = [_pair(keys[better], keys[worse], *more) for better, worse, *more in pairs]
    said = [_label(*one) for one in labels]
    return PromptFound(tuple(messages), named, preferred, said, split, columns)


def _written_pair(better: int, worse: int, pair: ImportedPair) -> Sequence[object]:
    """A pair as places of its answers, and what else is said of it."""
    if not (pair.group or pair.annotator or pair.created_at or pair.strength != 1):
        return better, worse
    moment = _moment(pair.created_at)
    return [better, worse, pair.group, pair.strength, pair.annotator, moment]


def _pair(
    better: str,
    worse: str,
    group: str = "",
    strength: int = 1,
    annotator: str = "",
    moment: str | None = None,
) -> ImportedPair:
    return ImportedPair(better, worse, group, strength, annotator, _as_moment(moment))


def _label(*kept: Any) -> ImportedLabel:  # noqa: ANN401
    annotator, items, kind, said, rationale, flags, visible_ms, moment = kept
    noted = Noted(rationale, tuple(flags), visible_ms, _as_moment(moment))
    return ImportedLabel(annotator, tuple(items), SAID[kind](*map(_as_tuple, said)), noted)


def _as_tuple(value: Any) -> Any:  # noqa: ANN401 - a part of what somebody said
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _as_moment(kept: str | None) -> datetime | None:
    return datetime.fromisoformat(kept) if kept else None


def _no_prompts() -> ScratchDict[PromptFound]:
    return ScratchDict(_packed, _unpacked)


@dataclass
class Reading:
    """What was found in a file."""

    title: str = ""  # what the file is
    rows: int = 0
    answers: int = 0  # read, those that came twice included
    formats: Counter[str] = field(default_factory=Counter)  # how its rows were read
    prompts: ScratchDict[PromptFound] = field(default_factory=_no_prompts)  # by key
    said: int = 0  # labels, and pairs that somebody preferred
    ranked: bool = False  # whether an answer has a rank
    refused: int = 0
    refusals: list[str] = field(default_factory=list)  # the first ones
    unused: Counter[str] = field(default_factory=Counter)  # columns, and in how many rows
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    named: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # answers with names of their own
    splits: dict[str, str] = field(default_factory=dict)  # by the openings of prompts
    long_scales: set[str] = field(default_factory=set)  # questions with marks above five
    last: tuple[Turns | None, str] = field(default=(None, ""), compare=False)  # prompt, and its key
    roles: Roles = field(default_factory=dict)  # of columns, where somebody gave them some
    columns: dict[str, str] = field(default_factory=dict)  # the first ones, with a first value

    def look_at(self, row: object) -> None:
        """Keep the first columns, each with its first value."""
        if isinstance(row, dict) and self.rows + self.refused < LOOKED_AT:
            for column, value in row.items():
                known = column in self.columns or len(self.columns) >= MOST_COLUMNS
                if not known and value is not None and isinstance(column, str):
                    self.columns[column] = value if isinstance(value, str) else json.dumps(value)

    def add(self, place: str, name: str, found: Found) -> list[str]:
        """Take in a row, or nothing of it; what of it is refused, and why."""
        bad = found.bad
        for prompt in found.prompts:
            answers: Sequence[ImportedAnswer] = prompt.answers
            for answer in answers:
                if answer.key != content_key(answer.text):
                    answers = self._without_clashes(answers, place, bad)
                    break
            self._merge(prompt, answers)
        self.rows += 1
        self.formats[name] += 1
        if found.left_out or found.notes or found.unused:
            self._count_beside(found)
        return bad

    def _count_beside(self, found: Found) -> None:
        """Add what of a row is not taken, and how it was understood."""
        for what, number in found.left_out.items():
            known = what in self.left_out or len(self.left_out) < MOST_KINDS
            self.left_out[what if known else what.partition(": ")[0] + OTHER_ONES] += number
        self.notes.update(found.notes)
        for column, number in found.unused.items():
            known = column in self.unused or len(self.unused) < MOST_NAMES
            self.unused[column if known else OTHERS] += number

    def _without_clashes(
        self, answers: Sequence[ImportedAnswer], place: str, bad: list[str]
    ) -> Sequence[ImportedAnswer]:
        """Answers of which some have names; those that clash are told among what is `bad`."""
        reasons = [self._clash(answer, place) for answer in answers]
        bad += filter(None, reasons)
        return [one for one, why in zip(answers, reasons, strict=True) if not why]

    def _clash(self, answer: ImportedAnswer, place: str) -> str:
        """The same answer may come twice, but not two answers under one name."""
        said = content_key(answer.text)
        if answer.key == said:
            return ""
        first, text = self.named.setdefault(answer.key, (place, said))
        return "" if text == said else f"the reply {answer.key} is in {first} too, with other words"

    def _merge(self, prompt: ImportedPrompt, answers: Sequence[ImportedAnswer]) -> None:
        known = self._known(prompt)
        self.answers += len(answers)
        if self.prompts.size > MOST_PROMPTS or self.answers > MOST_ANSWERS:
            raise ImportRefusal(
                _(
                    "The file holds more than {most_prompts:,} prompts or {most_answers:,} answers. "
                    "Split it."
                ).format(most_prompts=MOST_PROMPTS, most_answers=MOST_ANSWERS)
            )
        for answer in answers:
            same = known.answers.setdefault(answer.key, answer)
            if same is not answer and not prompt.labels and not prompt.pairs:
                self.left_out[AGAIN] += 1
                _count(self.left_out, RANKED_TWICE, _rank_of(same) != _rank_of(answer))
            if answer.rank is not None:
                self.ranked = True
        if prompt.pairs:
            self._merge_pairs(known, prompt, answers)
        if prompt.labels:
            self._merge_labels(known, prompt.labels)

    def _merge_pairs(
        self, known: PromptFound, prompt: ImportedPrompt, answers: Sequence[ImportedAnswer]
    ) -> None:
        """Take in the pairs of a row, but those of answers that clashed."""
        pairs = prompt.pairs
        if answers is not prompt.answers:
            there = {answer.key for answer in answers}
            pairs = tuple(p for p in pairs if p.better in there and p.worse in there)
        self.said += len(pairs)
        for pair in pairs:
            if known.add_pair(pair):
                self.notes[SAID_AGAIN] += 1

    def _known(self, prompt: ImportedPrompt) -> PromptFound:
        """What was found of the prompt of a row until now."""
        if prompt.messages is not self.last[0]:
            self.last = prompt.messages, prompt_key(prompt.messages)
        key = self.last[1]
        known = self.prompts.find(key)
        if known is None:
            known = PromptFound(prompt.messages, columns=prompt.columns)
            self.prompts.add(key, known)
        elif not prompt.answers:
            self.left_out[ASKED_AGAIN] += 1
        if known.columns != prompt.columns:
            self.left_out[OTHER_COLUMNS] += 1
        if prompt.split:
            first = self.splits.setdefault(opening_key(prompt.messages), prompt.split)
            _count(self.left_out, SPLIT_TWICE, first != prompt.split)
        return known

    def _merge_labels(self, known: PromptFound, labels: Collection[ImportedLabel]) -> None:
        known.labels += labels  # whose answers are known by their words: none can clash
        self.said += len(labels)
        for said in (label.said for label in labels if isinstance(label.said, Graded)):
            if said.highest == SCALES[-1] and len(self.long_scales) < MOST_NAMES:
                self.long_scales.add(said.question)

    def settle(self) -> None:
        """Read what only the whole file says: splits of conversations, and how far scales go."""
        self._settle_splits()
        for key, found in self.prompts.items() if self.long_scales else ():
            found.labels = [self._scaled(label) for label in found.labels]
            self.prompts[key] = found

    def _scaled(self, label: ImportedLabel) -> ImportedLabel:
        """A mark on the scale of its question, on which another answer got more."""
        said = label.said
        if isinstance(said, Graded) and said.lowest and said.question in self.long_scales:
            return replace(label, said=said._replace(highest=SCALES[-1]))
        return label

    def _settle_splits(self) -> None:
        """Give each prompt the split that the file says of its opening, whichever row says so."""
        for key, found in self.prompts.items() if self.splits else ():
            found.split = self.splits.get(opening_key(found.messages), "")
            self.prompts[key] = found

    def judgements(self) -> int:
        """How many preferences and labels it holds."""
        ranked = self.prompts.values() if self.ranked else ()
        implied: int = sum(found.ranked() for found in ranked)
        return self.said + implied

    def refuse(self, place: str, reason: str, into: Lines | None) -> None:
        """Count what cannot be read; the first reasons are kept, all of them go into the list."""
        self.refused += 1
        line = f"{place}: {reason}"
        if len(self.refusals) < REFUSALS:
            self.refusals.append(line)
        if into is not None:
            into.write(line.encode(errors="replace").decode() + "\n")


def _count(counted: Counter[str], what: str, happened: object) -> None:
    if happened:
        counted[what] += 1


def _rank_of(answer: ImportedAnswer) -> tuple[int | None, str]:
    return answer.rank, answer.ranking


def read(
    path: Path,
    format: str,
    *,
    limit: int,
    refusals: Lines | None = None,
    roles: Roles | None = None,
) -> Generator[tuple[int, int], None, Reading]:
    """Read a file, saying how many of its bytes are done; raises ImportRefusal."""
    size = path.stat().st_size  # of a folder it says little, and nobody waits for a page
    with opened(path, limit) as file:
        reading = Reading(file.title, left_out=file.beside, roles=roles or {})
        for count, row in enumerate(with_trees(file.rows)):
            _take(reading, row, format, refusals)
            if count % STEP == 0:
                yield min(file.packed.tell(), size), size
    reading.settle()
    yield size, size
    if not reading.rows and not reading.refused:
        raise ImportRefusal(_("The file has no rows to import."))
    return reading


def read_rows(rows: Iterable[Row], format: str = GUESS, roles: Roles | None = None) -> Reading:
    """What rows hold, wherever they come from."""
    reading = Reading(roles=roles or {})
    for row in with_trees(rows):
        _take(reading, row, format, None)
    reading.settle()
    return reading


def _take(reading: Reading, row: Row, format: str, refusals: Lines | None) -> None:
    if reading.rows + reading.refused >= MOST_ROWS:
        raise ImportRefusal(
            _("The file holds more than {most:,} rows. Split it.").format(most=MOST_ROWS)
        )
    try:
        bad = _added(reading, row, format)
    except BadRow as error:
        bad = [str(error)]
    for reason in bad:
        reading.refuse(row.place, in_its_words(reason, row.value, reading.roles), refusals)


def _added(reading: Reading, row: Row, format: str) -> list[str]:
    """Take in a row by its columns' roles, where it has any; what of it is refused."""
    if isinstance(row.value, BadRow):
        raise row.value
    reading.look_at(row.value)
    if not reading.roles or not isinstance(row.value, dict):
        return reading.add(row.place, *row_of(row.value, format))
    name, found = row_of(mapped(row.value, reading.roles), format)
    if kept := columns_for_code(row.value, reading.roles):
        found.prompts[:] = [replace(prompt, columns=kept) for prompt in found.prompts]
    found.unused = unused_columns(row.value, reading.roles, found.unused)
    return reading.add(row.place, name, found)
