"""What quantisation reports."""

from typing import Any

from alignment.kinds.costs import CostResults
from alignment.kinds.quantise.settings import SCHEMES
from alignment.seam.results import result
from alignment.seam.words import _


class QuantiseResults(CostResults):
    """Which layers are in eight bits now, and how large each is."""

    scheme: str | None = result(_("Scheme"), words=SCHEMES)
    layers_quantised: int | None = result(_("Layers in eight bits"))
    share_quantised: float | None = result(_("Weights in eight bits"), share=True)
    layer_bytes_ratio: float | None = result(
        _("Size of the layers in eight bits, of what they were"), share=True
    )
    largest_error: float | None = result(_("Largest error of a weight, in its scale"))
    kept_for_perplexity: str | None = result(_("Left in full precision, as they lose too much"))
    layers: list[dict[str, Any]] | None = result(_("Layers"))
