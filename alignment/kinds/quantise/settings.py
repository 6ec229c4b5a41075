"""Settings of models that are kept in eight bits."""

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

SchemeName = Literal["symmetric", "asymmetric"]
SCHEMES: Mapping[SchemeName, str] = {
    "symmetric": _("Symmetric"),
    "asymmetric": _("Asymmetric"),
}


class EightBits(Settings):
    """Which weights are kept in eight bits, and how."""

    scheme: SchemeName = setting(
        "symmetric",
        _("Scheme"),
        help=_(
            "Each output channel has a scale; asymmetric ones have a zero point too, which helps where a "
            "channel's weights lie to one side."
        ),
        topic=_("Eight bits"),
        choices=SCHEMES,
    )
    embeddings: bool = setting(
        default=False,
        title=_("Embeddings too"),
        help=_("Also the embedding of the tokens, and the head where it is tied to that."),
        topic=_("Eight bits"),
    )
    left_out: str = setting(
        "",
        _("Layers left out"),
        help=_(
            "Parts of names with commas between them: layers whose name has one stay in full precision."
        ),
        topic=_("Eight bits"),
        advanced=True,
        max_length=2000,
    )
    most_lost: float = setting(
        0.01,
        _("Most perplexity lost"),
        help=_(
            "On the texts below, as a share: where eight bits lose more, the worst layers stay in "
            "full precision; 1 takes every loss."
        ),
        topic=_("Eight bits"),
        advanced=True,
        gt=0,
        le=1,
    )


# In this order what is chosen comes first.
class QuantiseConfig(CostSettings, EightBits):
    """Quantisation: the linear layers of a model in eight bits, and what that costs and saves."""

    answers: CalibrationName = answers_to_read()
    prompts: int = prompts_to_read(32)
