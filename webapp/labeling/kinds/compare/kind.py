"""Which of two answers is better, and how much."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from django.utils.translation import gettext_lazy as _

from alignment.rows.found import Ordered, Preferred, Said, Tied
from alignment.seam.records import PairRecord, TieRecord
from webapp.labeling.composition import Composition
from webapp.labeling.kinds.compare.answer import Answer, Choice
from webapp.labeling.kinds.descriptor import Asked, HasText, InWords, Key, Order, TaskKind
from webapp.site.words import Words

C = TypeVar("C", bound=HasText)
SCALES: Mapping[int, Sequence[Choice]] = {
    2: (Choice.LEFT, Choice.RIGHT),
    4: (Choice.LEFT_MUCH, Choice.LEFT_SLIGHTLY, Choice.RIGHT_SLIGHTLY, Choice.RIGHT_MUCH),
    7: tuple(choice for choice in Choice if choice != Choice.BOTH_BAD),
}
BAD = "both bad"  # a verdict


def ask(completions: Sequence[C]) -> Iterator[tuple[C, C]]:
    """Disjoint pairs of different texts, in their order."""
    waiting: C | None = None
    for completion in completions:
        if waiting is None:
            waiting = completion
        elif waiting.text != completion.text:
            yield waiting, completion
            waiting = None


def records(asked: Asked, answer: Answer) -> Iterator[PairRecord | TieRecord]:
    """A preference, or that there is none."""
    left, right = asked.items
    better = answer.better
    if better is None:
        bad = answer.choice == Choice.BOTH_BAD
        who = asked.annotator
        yield TieRecord(prompt=asked.prompt, left=left, right=right, both_bad=bad, annotator=who)
    else:
        yield PairRecord(
            prompt=asked.prompt,
            chosen=asked.items[better],
            rejected=asked.items[1 - better],
            strength=answer.strength,
            annotator=asked.annotator,
            left_won=better == 0,
        )


def _imported(said: Said) -> Answer | None:
    """A preference or a tie on the scale of seven."""
    if isinstance(said, Ordered):
        said = Preferred(said.ranks.index(0)) if len({*said.ranks}) > 1 else Tied()
    if isinstance(said, Preferred):
        return Answer(choice=Choice.of(left_won=said.position == 0, strength=said.strength))
    if isinstance(said, Tied):
        return Answer(choice=Choice.BOTH_BAD if said.both_bad else Choice.TIE)
    return None


def _verdict(answer: Answer, order: Order) -> str:
    """Which item is better, by its place; how much it is better is no disagreement."""
    if answer.choice == Choice.BOTH_BAD:
        return BAD
    if answer.better is None:
        return "0=1"
    return f"{order[answer.better]}>{order[1 - answer.better]}"


def _in_words(answer: Answer) -> InWords:
    """The choice, and the answer that was chosen."""
    if answer.better is None:
        return InWords(answer.choice.label)
    return InWords(
        answer.choice.label,
        degree=_("%(strength)s of 3") % {"strength": answer.strength},
        marks={answer.better: _("chosen")},
    )


def _step(choice: Choice, word: Words, words: Words) -> Key:
    answer = {"choice": choice.value}
    return Key(f"choose-{choice}", str(choice.value), words, word, answer)


KEYS = (
    _step(Choice.LEFT_MUCH, _("much"), _("A is much better")),
    _step(Choice.LEFT, _("better"), _("A is better")),
    _step(Choice.LEFT_SLIGHTLY, _("slightly"), _("A is slightly better")),
    _step(Choice.TIE, _("tie"), _("Tie: equally good")),
    _step(Choice.RIGHT_SLIGHTLY, _("slightly"), _("B is slightly better")),
    _step(Choice.RIGHT, _("better"), _("B is better")),
    _step(Choice.RIGHT_MUCH, _("much"), _("B is much better")),
    _step(Choice.BOTH_BAD, _("both bad"), _("Both are bad")),
)


def _keys_of(composition: Composition) -> tuple[Key, ...]:
    """Those of a scale of so many points, by the digits from 1 on; both bad keeps its own."""
    by_choice = {key.usual: key for key in KEYS}
    steps = [by_choice[str(choice.value)] for choice in SCALES[composition.points]]
    placed = [
        key._replace(action=f"choose-{place}", usual=str(place))
        for place, key in enumerate(steps, 1)
    ]
    return (*placed, by_choice[str(Choice.BOTH_BAD.value)])


def _fits(answer: Answer, composition: Composition, _items: int) -> bool:
    return answer.choice in (*SCALES[composition.points], Choice.BOTH_BAD)


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Pair to compare"),
    question=_("Which answer is better?"),
    items=range(2, 3),
    Answer=Answer,
    ask=ask,
    records=records,
    agreement="nominal",
    verdict=_verdict,
    words=_in_words,
    imported=_imported,
    template="labeling/kinds/compare.html",
    keys=KEYS,
    keys_of=_keys_of,
    fits=_fits,
    by_place=True,
)
