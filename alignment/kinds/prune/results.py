"""What pruning reports."""

from typing import Any

from alignment.kinds.costs import CostResults
from alignment.kinds.prune.settings import METHODS, PATTERNS
from alignment.seam.results import result
from alignment.seam.words import _


class PruneResults(CostResults):
    """How many weights are zero now, and how far each layer's outputs are off."""

    method: str | None = result(_("What counted"), words=METHODS)
    pattern: str | None = result(_("Groups"), words=PATTERNS)
    weights_pruned: int | None = result(_("Weights set to zero"))
    share_pruned: float | None = result(_("Share of the pruned layers' weights"), share=True)
    output_error: float | None = result(_("Error of the outputs, mean of the layers"), share=True)
    error_by_magnitude: float | None = result(
        _("The same, had magnitude alone counted"), share=True
    )
    layers: list[dict[str, Any]] | None = result(_("Layers"))
