"""What training on preferences reports."""

from alignment.kinds.curves import ACCURACY, LEARNING
from alignment.kinds.prefer.settings import LOSSES
from alignment.seam.curves import Curve, Place
from alignment.seam.records import Estimate
from alignment.seam.results import StartedResults, result
from alignment.seam.words import _


class PreferResults(StartedResults):
    """How well held-out pairs are told apart."""

    accuracy: Estimate | None = result(_("Accuracy"))
    nll: Estimate | None = result(_("Held-out loss (nats)"))
    kto: Estimate | None = result(_("KTO"))
    pairs_train: int | None = result(_("Pairs to train on"))
    pairs_heldout: int | None = result(_("Held-out pairs"))
    pairs_without_difference: int | None = result(_("Pairs without difference"))
    labels_passed_over: int | None = result(_("Labels not chosen"))
    pairs_cut: int | None = result(_("Pairs cut to the context"))
    thumbs_train: int | None = result(_("Thumbs train"))
    thumbs_heldout: int | None = result(_("Thumbs heldout"))
    rankings_train: int | None = result(_("Rankings train"))
    rankings_heldout: int | None = result(_("Held-out rankings"))
    loss: str | None = result(_("Loss"), words=LOSSES)


CURVES = (
    *LEARNING,
    ACCURACY,
    Curve("preference/margin", _("Margin"), _("reward"), Place.MORE),
    Curve("ratio/chosen", _("Preferred answers"), _("log ratio (nats)"), Place.MORE),
    Curve("ratio/rejected", _("Other answers"), _("log ratio (nats)"), Place.MORE),
    Curve("kl/mismatched", _("KL of mismatched pairs"), _("KL (nats)"), Place.SOME),
)
