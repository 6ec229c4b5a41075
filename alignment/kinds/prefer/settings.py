"""Settings of a policy that learns from pairs without a reward model."""

from typing import Literal

from pydantic import model_validator

from alignment.kinds.settings.computation import ComputationSettings
from alignment.kinds.settings.divergences import OFFLINE, DivergenceName
from alignment.kinds.settings.fitting import Fitting
from alignment.seam.settings import ConflictError, Settings, setting

PreferenceName = Literal["f_dpo", "ipo", "kto"]


class Preferences(Settings):
    """What a policy learns from pairs, and how."""

    loss: PreferenceName = setting(
        "f_dpo",
        "Loss",
        help="f-DPO is DPO for reverse KL; IPO bounds the margin; KTO reads a pair as two thumbs.",
        topic="Preferences",
    )
    divergence: DivergenceName = setting(
        "reverse_kl",
        "Divergence",
        help="From the reference, which f-DPO keeps small.",
        topic="Preferences",
        when={"loss": ("f_dpo",)},
    )
    alpha: float = setting(
        0.5,
        "Order",
        help="Of the alpha divergence, and read by it alone; at most 1.",
        topic="Preferences",
        ge=-3,
        le=1,
        when={"loss": ("f_dpo",), "divergence": ("alpha",)},
    )
    beta: float = setting(
        0.1,
        "Beta",
        help="Pull to the reference; smaller means farther from it.",
        topic="Preferences",
        gt=0,
        le=100,
    )
    labels: Literal["train", "validation"] = setting(
        "train",
        "Labels used",
        help="Prompts of this split.",
        topic="Preferences",
        advanced=True,
        dashboard=True,
    )
    epochs: int = setting(
        1, "Epochs", help="Passes over the pairs.", topic="Preferences", ge=1, le=100
    )
    batch: int = setting(
        32, "Batch", help="Examples per step.", topic="Preferences", unit="pairs", ge=1, le=1024
    )
    learning_rate: float = setting(
        1e-4, "Learning rate", help="Peak of the schedule.", topic="Preferences", gt=0, le=0.1
    )
    held_out: float = setting(
        0.2,
        "Held-out share",
        help="Share of the prompts whose pairs only measure the result.",
        topic="Preferences",
        ge=0.05,
        le=0.5,
        advanced=True,
    )

    @model_validator(mode="after")
    def _labels_decide_the_policy(self) -> "Preferences":
        if self.loss == "f_dpo" and self.divergence not in OFFLINE:
            raise ConflictError(
                "divergence",
                f"with {self.divergence} pairs do not decide the policy, as its f'(0) is finite or "
                f"its loss unknown; take {', '.join(OFFLINE)}",
            )
        return self


class PreferConfig(ComputationSettings, Fitting, Preferences):
    """A policy trained on pairs directly, without a reward model: f-DPO, IPO or KTO."""
