"""Which of the project's flags hold for one answer."""

from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from alignment.kinds.settings.flags import FLAGS, FlagName
from alignment.seam.records import FlagRecord
from webapp.labeling.composition import Composition
from webapp.labeling.kinds.descriptor import Asked, InWords, Key, Order, TaskKind, each_alone
from webapp.labeling.kinds.flags.answer import Answer

NONE = "none"  # a verdict


def _records(asked: Asked, answer: Answer) -> Iterator[FlagRecord]:
    """The flags that hold, or that none does."""
    (text,) = asked.items
    held, who = tuple(answer.holds), asked.annotator
    yield FlagRecord(prompt=asked.prompt, completion=text, flags=held, annotator=who)


def _verdict(answer: Answer, _order: Order) -> str:
    return ",".join(answer.holds) or NONE


def _in_words(answer: Answer) -> InWords:
    words = ", ".join(str(_(FLAGS[name])) for name in answer.holds)
    return InWords(words or _("no flag"))


def _toggle(place: int, name: FlagName) -> Key:
    """A key that sets a flag or takes it back; others follow until the answer is sent."""
    return Key(f"choose-{place}", str(place), _(FLAGS[name]), name)


NONE_KEY = Key("choose-0", "0", _("No flag holds"), _("none"), {"none": "yes"})


def _keys_of(composition: Composition) -> tuple[Key, ...]:
    """A digit for each flag that is offered, and one for none."""
    flags = (_toggle(place, name) for place, name in enumerate(composition.flags, 1))
    return (*flags, NONE_KEY)


def _fits(answer: Answer, composition: Composition, _items: int) -> bool:
    return set(answer.holds) <= set(composition.flags)


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Answer to flag"),
    question=_("Which flags hold for this answer?"),
    items=range(1, 2),
    Answer=Answer,
    ask=each_alone,
    records=_records,
    agreement="nominal",
    verdict=_verdict,
    words=_in_words,
    template="labeling/kinds/flags.html",
    keys=_keys_of(Composition()),
    keys_of=_keys_of,
    fits=_fits,
)
