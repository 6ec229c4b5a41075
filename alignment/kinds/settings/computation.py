"""Settings of how a policy is trained, whatever it learns."""

from typing import Any, Literal

from alignment.seam.settings import Settings, setting

PrecisionName = Literal["fp32", "bf16"]


def saved_every(steps: int) -> Any:  # noqa: ANN401 - as `setting`
    """How often a run saves what it needs to go on."""
    return setting(
        steps,
        "Checkpoint every",
        help="Steps between checkpoints; a killed run loses at most these.",
        topic="Safety",
        unit="steps",
        ge=1,
        le=10_000,
        advanced=True,
    )


class ComputationSettings(Settings):
    """What decides memory and time, and not what is learned."""

    lora_rank: int = setting(
        0,
        "LoRA rank",
        help="Of two thin matrices that are trained beside each layer, which stays as it is; 0 "
        "trains all weights. The result is a whole model again.",
        topic="Computation",
        ge=0,
        le=1024,
        advanced=True,
    )
    precision: PrecisionName = setting(
        "fp32",
        "Precision",
        help="Of the models' multiplications; logits, log-probabilities and the weights themselves stay in "
        "fp32. bf16 saves time and memory on GPUs.",
        topic="Computation",
        advanced=True,
    )
    gradient_checkpointing: bool = setting(
        default=False,
        title="Gradient checkpointing",
        help="Keeps only the input of every block for the backward pass and computes the rest again: "
        "much less memory, a third more time to learn.",
        topic="Computation",
        advanced=True,
    )
