"""How good answers are, each by itself: quality from 1 to 7, and what else the project marks."""

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from alignment.rows.found import Graded, Said
from alignment.seam.records import PairRecord, RatingRecord, TieRecord
from webapp.labeling.composition import MOST_LEVELS, QUALITY, Composition
from webapp.labeling.kinds.descriptor import (
    Asked,
    HasText,
    InWords,
    Key,
    Order,
    TaskKind,
)
from webapp.labeling.kinds.rate.answer import MOST_RATED, Answer

C = TypeVar("C", bound=HasText)
Rated = PairRecord | TieRecord | RatingRecord


def _ask(completions: Sequence[C]) -> Iterator[tuple[C, ...]]:
    """Different texts, as many at once as can be rated, in their order."""
    apart = list({completion.text.strip(): completion for completion in completions}.values())
    for start in range(0, len(apart), MOST_RATED):
        yield tuple(apart[start : start + MOST_RATED])


def _records(asked: Asked, answer: Answer) -> Iterator[Rated]:
    """The mark of a single answer; of several, which is better than which, and which are as good."""
    rated = list(zip(asked.items, answer.qualities, strict=True))
    if len(rated) == 1:
        ((text, quality),) = rated
        who = asked.annotator
        yield RatingRecord(
            prompt=asked.prompt,
            completion=text,
            rating=quality,
            levels=answer.levels,
            annotator=who,
        )
    for (left, first), (right, second) in combinations(rated, 2):
        yield _compared(asked, (left, right), first - second)


def _compared(asked: Asked, texts: tuple[str, str], ahead: int) -> PairRecord | TieRecord:
    """What two marks say together; `ahead` is by how many the first one is the better."""
    prompt, who = asked.prompt, asked.annotator
    if ahead == 0:
        return TieRecord(prompt=prompt, left=texts[0], right=texts[1], annotator=who)
    chosen, rejected = texts if ahead > 0 else texts[::-1]
    return PairRecord(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        strength=min(abs(ahead), 3),
        annotator=who,
        left_won=ahead > 0 if len(asked.items) == 2 else None,
        group=_group(asked),
    )


def _group(asked: Asked) -> str:
    """What the pairs of one answer about several items share; two items are no ranking."""
    if len(asked.items) == 2:
        return ""
    return sha256(json.dumps([asked.annotator, *asked.items]).encode()).hexdigest()[:16]


def _imported(said: Said) -> Answer | None:
    """The mark of a file for one answer, on the scale that it has there, and those of its attributes."""
    if not isinstance(said, Graded):
        return None
    levels, shift = said.highest - said.lowest + 1, 1 - said.lowest
    named = [(QUALITY, said.mark), *said.attributes]
    try:
        return Answer(marks=[f"A:{name[:40]}:{mark + shift}/{levels}" for name, mark in named])
    except ValidationError:
        return None


def _verdict(answer: Answer, order: Order) -> str:
    """The quality of each item by its place; ValueError where it is about other items."""
    placed = sorted(zip(order, answer.qualities, strict=True))
    return " ".join(str(quality) for _place, quality in placed)


def _in_words(answer: Answer) -> InWords:
    """The quality of each item, and beside the items their other marks."""
    best = " · ".join(map(str, answer.qualities))
    marks = dict.fromkeys(range(len(answer.qualities)), "")
    for one in answer.read:
        name = _("Quality") if one.scale == QUALITY else one.scale
        said = f"{name} {one.value}/{one.levels}"
        marks[one.item] = f"{marks[one.item]}, {said}" if marks[one.item] else said
    return InWords(
        _("rated %(marks)s") % {"marks": best},
        degree=_("of %(levels)s") % {"levels": answer.levels},
        marks=marks,
    )


def _mark(value: int) -> Key:
    words = format_lazy(_("Mark {value}"), value=value)
    return Key(f"choose-{value}", str(value), words, str(value))


def _keys_of(composition: Composition) -> tuple[Key, ...]:
    """A digit for each level of the longest scale."""
    return tuple(map(_mark, range(1, max(scale.levels for scale in composition.scales) + 1)))


def _fits(answer: Answer, composition: Composition, items: int) -> bool:
    """Whether just the form's scales were marked, for every item."""
    asked = {
        (item, scale.name, scale.levels) for item in range(items) for scale in composition.scales
    }
    return {(one.item, one.scale, one.levels) for one in answer.read} == asked


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Answers to rate"),
    question=_("How good is each answer?"),
    items=range(1, MOST_RATED + 1),
    Answer=Answer,
    ask=_ask,
    records=_records,
    agreement="ordinal",
    verdict=_verdict,
    words=_in_words,
    imported=_imported,
    template="labeling/kinds/rate.html",
    keys=tuple(map(_mark, range(1, MOST_LEVELS + 1))),
    keys_of=_keys_of,
    fits=_fits,
)
