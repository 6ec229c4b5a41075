"""What taking a model for classes as a reward model reports."""

from typing import Any

from alignment.kinds.curves import ACCURACY, PACE
from alignment.seam.records import Estimate
from alignment.seam.results import ModelResults, result
from alignment.seam.words import _


class AdoptResults(ModelResults):
    """How well it tells the labels that gave it its zero and its unit, where there were some."""

    accuracy: Estimate | None = result(_("Accuracy"))
    nll: Estimate | None = result(_("Held-out loss (nats)"))
    temperature: float | None = result(_("Calibration temperature"))
    center: float | None = result(_("Center of the rewards"))
    scale: float | None = result(_("Spread of the rewards"))
    pairs: int | None = result(_("Pairs"))
    class_name: str | None = result(_("Class"))
    accuracy_by: list[dict[str, Any]] | None = result(_("Accuracy by agreement and length"))


CURVES = (ACCURACY, PACE[1])
