"""What a population reports."""

from typing import Any

from alignment.kinds.align.results import TARGETED, AlignResults
from alignment.kinds.curves import LEARNING
from alignment.seam.curves import Curve, Place
from alignment.seam.results import result
from alignment.seam.words import _


class PopulationResults(AlignResults):
    """What each agent found, which reports what an alignment does, and what all of them share."""

    agents: dict[str, dict[str, Any]] | None = result(_("Agents"), aside=True)


CURVES = (
    *LEARNING,
    *TARGETED,
    Curve("completions/drawn", _("Completions drawn"), _("of a prompt"), Place.SOME),
)
