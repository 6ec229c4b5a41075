"""Settings of what an optimizer keeps of each gradient, whatever is learned."""

from collections.abc import Mapping
from typing import Literal

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

GradientName = Literal["full", "low_rank"]
GRADIENTS: Mapping[GradientName, str] = {
    "full": _("Full"),
    "low_rank": _("Low-rank, its directions learned"),
}
LOW_RANK = {"gradient": ("low_rank",)}


class GradientSettings(Settings):
    """Full gradients, or each matrix's by its largest directions, which are learned as the training goes on."""

    gradient: GradientName = setting(
        "full",
        _("Gradient"),
        help=_(
            "Low-rank keeps the moments of Adam, and what processes exchange, by so many directions of each matrix as "
            "its rank says: much less memory, at another course of training."
        ),
        topic=_("Gradient"),
        choices=GRADIENTS,
        advanced=True,
    )
    gradient_rank: int = setting(
        16,
        _("Rank of the gradient"),
        help=_("Directions of each matrix; an eighth of the model's width is a good start."),
        topic=_("Gradient"),
        ge=1,
        le=4096,
        when=LOW_RANK,
        advanced=True,
    )
    error_feedback: bool = setting(
        default=False,
        title=_("Error feedback"),
        help=_(
            "What a step leaves out of its gradient is added to the next one; takes as much memory as the weights."
        ),
        topic=_("Gradient"),
        when=LOW_RANK,
        advanced=True,
    )
    least_consistency: float = setting(
        0.0,
        _("Least consistency"),
        help=_(
            "A matrix's rank falls while two halves of a batch agree less on its gradient than this, as a cosine, and "
            "rises again up to the rank above; 0 keeps it."
        ),
        topic=_("Gradient"),
        ge=0,
        le=1,
        when=LOW_RANK,
        advanced=True,
    )

    def moments(self, width: int) -> float:
        """What an optimizer keeps for a model of this width, as a share of Adam's two moments; about."""
        if self.gradient == "full":
            return 1.0
        share = min(1.0, self.gradient_rank / width)
        sketch = max(0.125, min(share, 0.5))  # `alignment/models/sketches.py`, of square matrices
        return 1.5 * share + sketch + 0.5 * self.error_feedback
