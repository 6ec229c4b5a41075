"""What fine-tuning reports."""

from alignment.kinds.curves import LEARNING
from alignment.seam.curves import Curve
from alignment.seam.records import Estimate
from alignment.seam.results import ModelResults, result
from alignment.seam.words import _


class SftResults(ModelResults):
    """How well held-out answers are told."""

    nll: Estimate | None = result(_("Held-out loss (nats)"))
    demonstrations_train: int | None = result(_("Demonstrations to train on"))
    demonstrations_heldout: int | None = result(_("Held-out demonstrations"))
    demonstrations_without_words: int | None = result(_("Demonstrations without words"))
    labels_passed_over: int | None = result(_("Labels not chosen"))
    demonstrations_cut: int | None = result(_("Demonstrations cut to the context"))


CURVES = (*LEARNING, Curve("nll/token", _("Loss of a token"), _("nats / token")))
