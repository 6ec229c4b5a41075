"""Settings of models whose weights are pruned."""

from collections.abc import Mapping
from typing import Literal

from alignment.kinds.settings.costs import (
    CalibrationName,
    CostSettings,
    answers_to_read,
    prompts_to_read,
)
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

MethodName = Literal["wanda", "magnitude"]
METHODS: Mapping[MethodName, str] = {
    "wanda": _("Weights and inputs (Wanda)"),
    "magnitude": _("Magnitude"),
}
PatternName = Literal["rows", "layer", "two_of_four"]
PATTERNS: Mapping[PatternName, str] = {
    "rows": _("Of each output"),
    "layer": _("Of each layer"),
    "two_of_four": _("Two of four"),
}


class Pruning(Settings):
    """Which weights become zero."""

    method: MethodName = setting(
        "wanda",
        _("What counts"),
        help=_(
            "A weight's magnitude, or that times the norm of the inputs that it is multiplied with."
        ),
        topic=_("Pruning"),
        choices=METHODS,
    )
    pattern: PatternName = setting(
        "rows",
        _("Groups"),
        help=_(
            "Among which weights the smallest are found: those of each output, of a whole layer, or of any "
            "four that follow each other, of which two go, as some hardware wants it."
        ),
        topic=_("Pruning"),
        choices=PATTERNS,
    )
    sparsity: float = setting(
        0.5,
        _("Share that goes"),
        help=_("Of the weights of each group."),
        topic=_("Pruning"),
        gt=0,
        le=0.95,
        when={"pattern": ("rows", "layer")},
    )


# In this order what is chosen comes first.
class PruneConfig(CostSettings, Pruning):
    """Pruning: weights of a model's linear layers set to zero, and what that costs."""

    answers: CalibrationName = answers_to_read()
    prompts: int = prompts_to_read()

    @property
    def share_pruned(self) -> float:
        """The share of weights that go."""
        return 0.5 if self.pattern == "two_of_four" else self.sparsity
