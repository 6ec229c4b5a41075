"""From best to worst, with ties."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import combinations, pairwise
from pathlib import Path
from typing import TypeVar

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from alignment.rows.found import Ordered, Said
from alignment.seam.records import PairRecord, TieRecord
from webapp.labeling.kinds.descriptor import LETTERS, Asked, HasText, InWords, Key, Order, TaskKind
from webapp.labeling.kinds.rank.answer import MOST, Answer
from webapp.site.words import Words

C = TypeVar("C", bound=HasText)
LEAST = 3  # answers: of two which is better is asked by another kind


def _ask(completions: Sequence[C]) -> Iterator[Sequence[C]]:
    """All different texts, in as few tasks of about the same size as hold them."""
    texts = list({completion.text.strip(): completion for completion in completions}.values())
    if len(texts) < LEAST:
        return
    tasks = -(-len(texts) // MOST)
    ends = [len(texts) * number // tasks for number in range(tasks + 1)]
    for start, end in pairwise(ends):
        yield texts[start:end]


def _records(asked: Asked, answer: Answer) -> Iterator[PairRecord | TieRecord]:
    """The pairs of the order, which share a group, and what is tied."""
    group = _group(asked)
    for better, worse in combinations(answer.groups, 2):
        for one in better:
            for other in worse:
                yield PairRecord(
                    prompt=asked.prompt,
                    chosen=asked.items[one],
                    rejected=asked.items[other],
                    annotator=asked.annotator,
                    group=group,
                )
    for tied in answer.groups:
        for one, other in combinations(tied, 2):
            left, right = asked.items[one], asked.items[other]
            yield TieRecord(prompt=asked.prompt, left=left, right=right, annotator=asked.annotator)


def _group(asked: Asked) -> str:
    """One name for all that somebody said of these answers, whatever order they saw."""
    said = "\0".join([asked.annotator, *sorted(asked.items)])
    return f"rank-{sha256(said.encode(errors='surrogatepass')).hexdigest()[:24]}"


def _imported(said: Said) -> Answer | None:
    """The letters of the answers by their ranks."""
    if not isinstance(said, Ordered):
        return None
    places = dict.fromkeys(sorted(said.ranks), "")
    for position, rank in enumerate(said.ranks):
        places[rank] += f"={LETTERS[position]}" if places[rank] else LETTERS[position]
    return Answer(ranking=">".join(places.values()))


def _objection(answer: Answer, items: Sequence[str]) -> Words:
    """That some answers are not placed, or there are fewer."""
    if answer.places == list(range(len(items))):
        return ""
    letters = ", ".join(LETTERS[: len(items)])
    return _("Give each of %(letters)s its place, once: nothing was stored.") % {"letters": letters}


def _verdict(answer: Answer, order: Order) -> str:
    """The places of the items from best to worst; ValueError where it is about others."""
    if answer.places != list(range(len(order))):
        raise ValueError("an order of other answers than those that were shown")
    groups = [sorted(order[position] for position in group) for group in answer.groups]
    return ">".join("=".join(map(str, group)) for group in groups)


def _in_words(answer: Answer) -> InWords:
    """The order, and beside each answer its place."""
    text = answer.ranking.replace(">", " > ").replace("=", " = ")
    places = enumerate(answer.groups, start=1)
    marks = {
        position: _("place %(place)s") % {"place": place}
        for place, group in places
        for position in group
    }
    return InWords(text, marks=marks)


def _next(number: int) -> Key:
    letter = LETTERS[number - 1]
    words = format_lazy(_("{letter} takes the next place"), letter=letter)
    return Key(f"choose-{number}", str(number), words, letter)


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Answers to rank"),
    question=_("Which answer is the best, which comes next?"),
    items=range(LEAST, MOST + 1),
    Answer=Answer,
    ask=_ask,
    records=_records,
    agreement="ranking",
    verdict=_verdict,
    words=_in_words,
    template="labeling/kinds/rank.html",
    keys=(
        *map(_next, range(1, MOST + 1)),
        Key("tie", "=", _("The answer placed last is as good as the one before it, or is not")),
    ),
    objection=_objection,
    imported=_imported,
)
