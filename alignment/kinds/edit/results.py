"""What an edit reports."""

from typing import Any

from alignment.kinds.costs import COST_CURVES, CostResults
from alignment.seam.curves import Curve
from alignment.seam.records import Estimate
from alignment.seam.results import result
from alignment.seam.words import _

CURVES = (
    Curve("answer/nats", _("New answer"), _("nats a token")),
    Curve("facts/held", _("Facts that hold so far"), _("share")),
    *COST_CURVES,
)


class EditResults(CostResults):
    """Which facts hold now, how far they reach, and what they have left alone."""

    efficacy: Estimate | None = result(
        _("Facts that hold"), meaning=_("The new answer is likelier than the old one."), share=True
    )
    generality: Estimate | None = result(
        _("Paraphrases that hold"), meaning=_("As facts, asked in other words."), share=True
    )
    locality: Estimate | None = result(
        _("Neighbours left alone"),
        meaning=_("Their most probable answer begins as before."),
        share=True,
    )
    neighbour_kl: Estimate | None = result(
        _("KL at neighbours"), meaning=_("KL(original ‖ edited) of the answer's first token.")
    )
    layer: int | None = result(_("Layer"))
    effects: list[dict[str, Any]] | None = result(_("What each layer brings back"))
    facts: list[dict[str, Any]] | None = result(_("Facts"))
