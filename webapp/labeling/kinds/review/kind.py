"""Whether a prompt or an answer that somebody wrote should be used."""

from collections.abc import Sequence
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from webapp.labeling.kinds.descriptor import InWords, Key, TaskKind
from webapp.labeling.kinds.review.answer import Answer
from webapp.labeling.kinds.writing import start_of_text
from webapp.site.words import Words


def _objection(answer: Answer, items: Sequence[str]) -> Words:
    """That whoever wrote it would not know what to change, or that an answer is no prompt to be worded."""
    if answer.text and items:
        return _(
            "Only the words of a prompt can be changed: accept the answer as it is, or reject it."
        )
    if answer.decision == "reject" and not answer.reason.strip():
        return _("Say why it is rejected: nothing was stored.")
    return ""


def _in_words(answer: Answer) -> InWords:
    """The decision, and the reason of a rejection or the words of a prompt that were changed."""
    if answer.text:
        return InWords(
            _("accepted in other words: %(text)s") % {"text": start_of_text(answer.text)}
        )
    if answer.decision == "accept":
        return InWords(_("accepted"))
    return InWords(_("rejected: %(reason)s") % {"reason": start_of_text(answer.reason)})


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Words to review"),
    question=_("Should this be used?"),
    items=range(2),  # none: it is about the prompt
    Answer=Answer,
    ask=lambda _completions: (),
    records=lambda _asked, _answer: (),
    agreement="nominal",
    verdict=lambda answer, _order: answer.decision,
    words=_in_words,
    template="labeling/kinds/review.html",
    keys=(
        Key("choose-1", "1", _("Accept it"), _("accept"), {"decision": "accept"}),
        Key("choose-2", "2", _("Reject it"), _("reject"), {"decision": "reject"}),
        Key("write", "e", _("To the reason of a rejection; Esc leaves it")),
    ),
    objection=_objection,
    made=False,
)
