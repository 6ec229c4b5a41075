"""What scoring answers reports."""

from alignment.kinds.curves import PACE
from alignment.seam.curves import Curve
from alignment.seam.records import Estimate
from alignment.seam.results import Results, result
from alignment.seam.words import _


class ScoreResults(Results):
    """Of all answers, and of the pairs among them."""

    score: Estimate | None = result(_("Mean score"), meaning=_("Over prompts."))
    disagreement: Estimate | None = result(
        _("Disagreement"), meaning=_("Deviation of an answer's score among the heads.")
    )
    information: Estimate | None = result(
        _("Expected information of a comparison (nats)"),
        meaning=_("What people's answer would tell of which head is right; over prompts."),
    )
    information_ordered: Estimate | None = result(
        _("The same of the pairs in order (nats)"),
        meaning=_("Of those that would teach the heads most; over prompts."),
    )
    answers: int | None = result(_("Answers scored"))
    heads: int | None = result(_("Heads"))
    pairs_free: int | None = result(_("Pairs nobody was asked about"))
    pairs_ordered: int | None = result(_("Pairs in order"))
    pairs_asked: int | None = result(_("Pairs people were asked about"))


CURVES = (Curve("score/mean", _("Mean score"), _("mean reward")), PACE[1])
