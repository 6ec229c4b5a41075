"""What measuring a reward model reports."""

from typing import Any

from alignment.kinds.curves import ACCURACY, PACE
from alignment.seam.records import Estimate
from alignment.seam.results import Results, result
from alignment.seam.words import _


class MeasureResults(Results):
    """How well it tells labels, and how well rules do that read nothing."""

    accuracy: Estimate | None = result(
        _("Accuracy"), meaning=_("How often it prefers what people preferred; over prompts.")
    )
    nll: Estimate | None = result(_("Held-out loss (nats)"))
    ece: float | None = result(_("Calibration error"), share=True)
    longest: Estimate | None = result(
        _("Accuracy of the longer answer"), meaning=_("Of a rule that looks at length alone.")
    )
    shortest: Estimate | None = result(
        _("Accuracy of the shorter answer"), meaning=_("Of a rule that looks at length alone.")
    )
    left: Estimate | None = result(
        _("Accuracy of the left answer"),
        meaning=_("Of a rule that looks at the side alone, where people saw sides."),
    )
    ahead: Estimate | None = result(
        _("Above the better ruler"), meaning=_("Its accuracy less that of the best of these rules.")
    )
    pairs: int | None = result(_("Pairs"))
    accuracy_by: list[dict[str, Any]] | None = result(_("Accuracy by agreement and length"))
    by_category: list[dict[str, Any]] | None = result(_("Accuracy by category"))


CURVES = (ACCURACY, PACE[1])
