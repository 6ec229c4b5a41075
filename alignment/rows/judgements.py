"""What tools that annotate say of answers, in their own words: choices, marks, orders, texts."""

from collections.abc import Mapping, Sequence
from typing import Any

from alignment.rows.answers import BAD, TIES, place_won, winner_in
from alignment.rows.cells import whole_number
from alignment.rows.found import (
    BadRow,
    Demonstrated,
    Found,
    Graded,
    ImportedLabel,
    ImportedPrompt,
    Ordered,
    Preferred,
    Said,
    Thumbed,
    Tied,
)
from alignment.rows.texts import text_of
from alignment.seam.words import _

GOOD = {
    "good",
    "yes",
    "true",
    "positive",
    "accept",
    "accepted",
    "like",
    "up",
    "thumbs up",
    "correct",
}
POOR = {"bad", "no", "false", "negative", "reject", "rejected", "dislike", "down", "thumbs down"}
SCALES = (5, 10)  # where a file does not say how far a scale goes: stars, or marks up to ten
UNSAID = "annotations that say nothing of an answer: "  # and of what kind they are
PAIR = 2
LONGEST_QUESTION = 40  # characters of a question, by which its marks are known


def said_by_choice(value: object, columns: Sequence[str]) -> Said | None:
    """A word for one answer, or for which of two is better; None for a word that says neither."""
    word = winner_in(value)
    if len(columns) == 1 and word in GOOD | POOR:
        return Thumbed(word in GOOD)
    if len(columns) != PAIR:
        return None
    place = place_won(word, columns)
    if place is not None:
        return Preferred(place)
    return Tied(word in BAD) if word in TIES else None


def said_by_mark(value: object) -> Graded:
    """A mark on a scale that begins with 1; raises BadRow for none."""
    mark = whole_number(value)
    if type(mark) is not int or not 1 <= mark <= SCALES[-1]:
        raise BadRow(_("a rating is no whole number from 1 to {n}").format(n=SCALES[-1]))
    return Graded(mark, next(scale for scale in SCALES if mark <= scale))


def label_of(
    prompt: ImportedPrompt, who: str, said: Said | None, question: object = ""
) -> ImportedLabel | None:
    """The label of a prompt's answers, if it is about as many as there are, all of them different."""
    keys = tuple(answer.key for answer in prompt.answers)
    if isinstance(said, Graded):
        said = said._replace(question=str(question)[:LONGEST_QUESTION])
    if isinstance(said, Demonstrated):
        return ImportedLabel(who, (), said)
    counts = {Preferred: PAIR, Tied: PAIR, Thumbed: 1, Graded: 1}
    wanted = len(said.ranks) if isinstance(said, Ordered) else counts.get(type(said))
    if said is None or wanted != len(keys) or len(set(keys)) < len(keys):
        return None
    return ImportedLabel(who, keys, said)


def said_by_text(value: object) -> Demonstrated:
    """Somebody's own answer: a text, or the only one of a list; raises BadRow."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return Demonstrated(text_of(value, "an annotator's text"))


def said_by_order(ranks: Mapping[str, int], names: Sequence[str]) -> Ordered | None:
    """The ranks of things in the order of their names; None where they are others."""
    if set(ranks) != set(names) or len(names) < PAIR:
        return None
    levels = sorted(set(ranks.values()))
    return Ordered(tuple(levels.index(ranks[name]) for name in names))


def count_unsaid(found: Found, what: Any) -> None:  # noqa: ANN401 - whatever a file calls it
    """Tell of an annotation that becomes nothing."""
    found.left_out[UNSAID + str(what)[:40]] += 1
