"""Settings of how a policy is trained, whatever it learns."""

from collections.abc import Mapping
from typing import Any, Literal

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

PrecisionName = Literal["fp32", "bf16"]
PRECISIONS: Mapping[PrecisionName, str] = {
    "fp32": _("fp32"),
    "bf16": _("bf16"),
}


def saved_every(steps: int) -> Any:  # noqa: ANN401 - as `setting`
    """How often a run saves what it needs to go on."""
    return setting(
        steps,
        _("Checkpoint every"),
        help=_("Steps between checkpoints; a killed run loses at most these."),
        topic=_("Safety"),
        unit=_("steps"),
        ge=1,
        le=10_000,
        advanced=True,
    )


class ComputationSettings(Settings):
    """What decides memory and time, and not what is learned."""

    lora_rank: int = setting(
        0,
        _("LoRA rank"),
        help=_(
            "Of two thin matrices that are trained beside each layer, which stays as it is; 0 "
            "trains all weights. The result is a whole model again."
        ),
        topic=_("Computation"),
        ge=0,
        le=1024,
        advanced=True,
    )
    precision: PrecisionName = setting(
        "fp32",
        _("Precision"),
        help=_(
            "Of the models' multiplications; logits, log-probabilities and the weights themselves stay in "
            "fp32. bf16 saves time and memory on GPUs."
        ),
        topic=_("Computation"),
        advanced=True,
        choices=PRECISIONS,
    )
    gradient_checkpointing: bool = setting(
        default=False,
        title=_("Gradient checkpointing"),
        help=_(
            "Keeps only the input of every block for the backward pass and computes the rest again: "
            "much less memory, a third more time to learn."
        ),
        topic=_("Computation"),
        advanced=True,
    )
