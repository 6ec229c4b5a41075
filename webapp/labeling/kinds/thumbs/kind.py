"""Whether one answer is good: liked or not, by itself."""

from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from alignment.rows.found import Said, Thumbed
from alignment.seam.records import ThumbRecord
from webapp.labeling.kinds.descriptor import Asked, InWords, Key, Order, TaskKind, each_alone
from webapp.labeling.kinds.thumbs.answer import Answer


def _records(asked: Asked, answer: Answer) -> Iterator[ThumbRecord]:
    """That the answer was liked, or not."""
    (text,) = asked.items
    good, who = answer.thumb == "up", asked.annotator
    yield ThumbRecord(prompt=asked.prompt, completion=text, good=good, annotator=who)


def _imported(said: Said) -> Answer | None:
    """A thumb of a file."""
    return Answer(thumb="up" if said.good else "down") if isinstance(said, Thumbed) else None


def _verdict(answer: Answer, _order: Order) -> str:
    return answer.thumb


def _in_words(answer: Answer) -> InWords:
    return InWords(_("good") if answer.thumb == "up" else _("not good"))


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Answer to like or not"),
    question=_("Is this a good answer?"),
    items=range(1, 2),
    Answer=Answer,
    ask=each_alone,
    records=_records,
    agreement="nominal",
    verdict=_verdict,
    words=_in_words,
    imported=_imported,
    by_place=True,
    template="labeling/kinds/thumbs.html",
    keys=(
        Key("choose-1", "1", _("It is good"), _("good"), {"thumb": "up"}),
        Key("choose-2", "2", _("It is not good"), _("not good"), {"thumb": "down"}),
    ),
)
