"""What the training of a starter model reports."""

from alignment.kinds.curves import LOSS, PACE
from alignment.seam.results import ModelResults, result
from alignment.seam.words import _


class PretrainResults(ModelResults):
    """How well it learned its corpus."""

    loss: float | None = result(_("Loss"))
    perplexity_heldout: float | None = result(_("Held-out perplexity"))
    documents: int | None = result(_("Documents"))
    cached: bool | None = result(_("Cached"))


CURVES = (LOSS, *PACE)
