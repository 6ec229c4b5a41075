"""Settings of reward models."""

from typing import Literal

from alignment.config.fields import Settings, setting


class RewardConfig(Settings):
    """A Bradley-Terry reward model trained on the pairs of a snapshot."""

    labels: Literal["train", "validation"] = setting(
        "train",
        "Labels used",
        help="Prompts of this split; a judge is trained on validation, never on train.",
        topic="Reward model",
        advanced=True,
        dashboard=True,
    )
    epochs: int = setting(
        3, "Epochs", help="Passes over the training pairs.", topic="Reward model", ge=1, le=100
    )
    batch: int = setting(
        32, "Batch", help="Pairs per step.", topic="Reward model", unit="pairs", ge=1, le=1024
    )
    learning_rate: float = setting(
        3e-4,
        "Learning rate",
        help="Peak of the schedule, of all but the head.",
        topic="Reward model",
        gt=0,
        le=0.1,
    )
    weight_decay: float = setting(
        0.05,
        "Weight decay",
        help="Pull of the weights towards zero; more when labels are few.",
        topic="Reward model",
        ge=0,
        le=10,
        advanced=True,
    )
    held_out: float = setting(
        0.2,
        "Held-out share",
        help="Share of the prompts whose pairs only measure accuracy.",
        topic="Reward model",
        ge=0.05,
        le=0.5,
        advanced=True,
    )
