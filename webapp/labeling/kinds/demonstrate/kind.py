"""The answer that a model should give, in somebody's own words."""

from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from alignment.rows.found import Demonstrated, Said
from alignment.seam.records import DemonstrationRecord
from webapp.labeling.kinds.demonstrate.answer import Answer
from webapp.labeling.kinds.descriptor import Asked, InWords, Key, TaskKind
from webapp.labeling.kinds.writing import objection_to_length, start_of_text


def _records(asked: Asked, answer: Answer) -> Iterator[DemonstrationRecord]:
    """What they wrote, to be imitated."""
    yield DemonstrationRecord(prompt=asked.prompt, completion=answer.text)


def _imported(said: Said) -> Answer | None:
    """A text that somebody wrote elsewhere, unless it is longer than one from here may be."""
    if not isinstance(said, Demonstrated):
        return None
    answer = Answer(text=said.text)
    return None if objection_to_length(answer) else answer


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Answer to write"),
    question=_("What should the answer be?"),
    items=range(1),
    Answer=Answer,
    ask=lambda _completions: [()],
    records=_records,
    agreement="nominal",
    verdict=lambda _answer, _order: "written",  # no two people write the same, or disagree by that
    words=lambda answer: InWords(start_of_text(answer.text)),
    template="labeling/kinds/demonstrate.html",
    keys=(Key("write", "e", _("To the answer that you write; Esc leaves it")),),
    objection=objection_to_length,
    imported=_imported,
    reviewed=lambda answer: str(answer.text),
)
