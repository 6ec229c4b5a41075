"""What factorisation reports."""

from typing import Any

from alignment.kinds.costs import COST_CURVES, CostResults
from alignment.seam.curves import Curve
from alignment.seam.results import result
from alignment.seam.words import _

CURVES = (Curve("error/layer", _("Error of a layer"), _("share of what it writes")), *COST_CURVES)


class FactoriseResults(CostResults):
    """Which layers are sub-layers now, of what rank, and what other ways would have reached."""

    layers_factorised: int | None = result(_("Layers factorised"))
    parameters_ratio: float | None = result(
        _("Parameters of the factorised layers, of what they were"), share=True
    )
    milliseconds_ratio: float | None = result(
        _("Time of the factorised layers, of what it was"), share=True
    )
    fitted_better: float | None = result(
        _("Layers that fitting made better than their start"),
        meaning=_("On tokens that only measure."),
        share=True,
    )
    sizes: list[dict[str, Any]] | None = result(_("By budget, and by other ways"))
    layers: list[dict[str, Any]] | None = result(_("Layers"))
