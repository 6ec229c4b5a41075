"""An answer made better by whoever reads it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from django.utils.translation import gettext_lazy as _

from alignment.seam.records import DemonstrationRecord, PairRecord, ThumbRecord
from webapp.labeling.kinds.descriptor import Asked, HasText, InWords, Key, Order, TaskKind
from webapp.labeling.kinds.edit.answer import Answer
from webapp.labeling.kinds.writing import objection_to_length, start_of_text, with_plain_lines
from webapp.site.words import Words

C = TypeVar("C", bound=HasText)


def _ask(completions: Sequence[C]) -> Iterator[tuple[C]]:
    """Each different text by itself."""
    for completion in {completion.text.strip(): completion for completion in completions}.values():
        yield (completion,)


def _records(
    asked: Asked, answer: Answer
) -> Iterator[PairRecord | ThumbRecord | DemonstrationRecord]:
    """What should be imitated, and that it is better than what was there, or that this was good."""
    (original,) = asked.items
    who = asked.annotator
    if answer.text is None:
        yield ThumbRecord(prompt=asked.prompt, completion=original, good=True, annotator=who)
    else:
        yield PairRecord(prompt=asked.prompt, chosen=answer.text, rejected=original, annotator=who)
    text = original if answer.text is None else answer.text
    yield DemonstrationRecord(prompt=asked.prompt, completion=text)


def _objection(answer: Answer, items: Sequence[str]) -> Words:
    """That nothing was changed, or too much added."""
    if answer.text is not None and answer.text.strip() == with_plain_lines(items[0]).strip():
        return _("Nothing is changed. Change the text, or say that it is good as it is.")
    return objection_to_length(answer)


def _verdict(answer: Answer, _order: Order) -> str:
    """Whether it needed an edit; which one is no disagreement."""
    return "good" if answer.text is None else "edited"


def _in_words(answer: Answer) -> InWords:
    """The new text, beside the old one."""
    if answer.text is None:
        return InWords(_("good as it is"), marks={0: _("good as it is")})
    return InWords(start_of_text(answer.text), marks={0: _("edited")})


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Answer to edit"),
    question=_("How would this answer be good?"),
    items=range(1, 2),
    Answer=Answer,
    ask=_ask,
    records=_records,
    agreement="nominal",
    verdict=_verdict,
    words=_in_words,
    template="labeling/kinds/edit.html",
    keys=(
        Key("choose-1", "1", _("It is good as it is"), _("good as it is"), {"good": "yes"}),
        Key("write", "e", _("To the text that you edit; Esc leaves it")),
    ),
    objection=_objection,
)
