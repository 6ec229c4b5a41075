"""What the training of a classifier reports."""

from typing import Any

from alignment.kinds.classify.settings import HEADS, READS
from alignment.kinds.curves import LEARNING
from alignment.seam.curves import Curve
from alignment.seam.records import Estimate
from alignment.seam.results import ModelResults, result
from alignment.seam.words import _


class ClassifyResults(ModelResults):
    """How well held-out texts are told apart."""

    accuracy: Estimate | None = result(
        _("Accuracy"),
        meaning=_("Share of the held-out texts whose class is told as people said it."),
    )
    macro_f1: Estimate | None = result(
        _("Macro F1"), meaning=_("Mean over the classes, however rare one is.")
    )
    auc: Estimate | None = result(
        _("Area under the ROC curve"),
        meaning=_("Of two classes; of more the mean of one against the rest."),
    )
    ece: Estimate | None = result(
        _("Calibration error"),
        meaning=_("How far its probabilities are from how often it is right."),
    )
    nll: Estimate | None = result(_("Held-out loss (nats)"))
    accuracy_majority: Estimate | None = result(
        _("Accuracy of the commonest class"), meaning=_("What is right without reading anything.")
    )
    accuracy_length: Estimate | None = result(
        _("Accuracy by length alone"),
        meaning=_("The commonest class among training texts of about the same length."),
    )
    accuracy_word: Estimate | None = result(
        _("Accuracy by the word alone"),
        meaning=_("The commonest tag of the word in training texts."),
    )
    exact_match: Estimate | None = result(
        _("Exact match"), meaning=_("Share of the questions that are answered as people did.")
    )
    token_f1: Estimate | None = result(
        _("Token F1"), meaning=_("Words shared with the known answer.")
    )
    token_f1_whole: Estimate | None = result(
        _("Token F1 of the whole text"),
        meaning=_("What an answer that leaves nothing out reaches."),
    )
    gain_rulers: Estimate | None = result(
        _("Above the better ruler"),
        meaning=_("Paired; about 0 where nothing is learned."),
    )
    texts_train: int | None = result(_("Texts to train on"))
    texts_heldout: int | None = result(_("Held-out texts"))
    texts_disputed: int | None = result(_("Texts to which people gave different classes"))
    bad_lines: int | None = result(_("Rows that could not be read"))
    head: str | None = result(_("What is told"), words=HEADS)
    reads: str | None = result(_("It reads"), words=READS)
    classes: list[str] | None = result(_("Classes"), aside=True)
    by_class: list[dict[str, Any]] | None = result(_("Classes, on held-out texts"))
    confusion: list[dict[str, Any]] | None = result(_("What people said, and what was told"))
    checks: list[dict[str, Any]] | None = result(_("Receipts"))


CURVES = (*LEARNING, Curve("class/accuracy", _("Accuracy"), _("share of texts")))
