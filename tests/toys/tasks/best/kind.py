"""A toy kind of task: which of three answers is the best."""

from pathlib import Path
from typing import Literal

from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel

from alignment.seam.records import PairRecord
from webapp.labeling.kinds.descriptor import LETTERS, InWords, Key, TaskKind

SIZE = 3


class Answer(BaseModel):
    """The position of the best one, counted from 1."""

    best: Literal["1", "2", "3"]

    @property
    def place(self):
        return int(self.best) - 1


def ask(completions):
    """Each three that come one after another."""
    for start in range(0, len(completions) - SIZE + 1, SIZE):
        yield completions[start : start + SIZE]


def records(asked, answer):
    """The best one is better than each of the others."""
    others = [text for place, text in enumerate(asked.items) if place != answer.place]
    for other in others:
        yield PairRecord(
            prompt=asked.prompt,
            chosen=asked.items[answer.place],
            rejected=other,
            annotator=asked.annotator,
        )


def verdict(answer, order):
    return str(order[answer.place])


def words(answer):
    return InWords(f"{LETTERS[answer.place]} is the best", marks={answer.place: _("the best")})


def key(number):
    letter = LETTERS[number - 1]
    return Key(
        f"choose-{number}", str(number), f"{letter} is the best", letter, {"best": str(number)}
    )


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Best of three"),
    question=_("Which is the best?"),
    items=range(SIZE, SIZE + 1),
    Answer=Answer,
    ask=ask,
    records=records,
    agreement="nominal",
    verdict=verdict,
    words=words,
    template="best.html",
    keys=tuple(map(key, range(1, SIZE + 1))),
)
