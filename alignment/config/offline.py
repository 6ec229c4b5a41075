"""Settings of objectives on completions that are there already."""

from typing import Literal

from pydantic import model_validator

from alignment.config.computation import ComputationSettings, saved_every
from alignment.config.divergences import OFFLINE, DivergenceName
from alignment.config.fields import ConflictError, Settings, setting
from alignment.config.overlong import OverlongName, overlong

PreferenceName = Literal["f_dpo", "ipo", "kto"]
PromptTemplateName = Literal["own", "alpaca", "custom"]


class Fitting(Settings):
    """What every run has that learns from completions which are there already."""

    checkpoint_every: int = saved_every(100)
    overlong: OverlongName = overlong("Safety")


class Imitation(Settings):
    """How completions are imitated."""

    prompt_template: PromptTemplateName = setting(
        "own",
        "Prompt template",
        help="How a prompt is written before the model: by its own chat template, as Alpaca does, "
        "or as below; the model keeps it.",
        topic="Imitation",
    )
    custom_template: str = setting(
        "",
        "Custom template",
        help="Text with {prompt} where a turn of the user's stands, up to where the answer begins.",
        topic="Imitation",
        max_length=2000,
        when={"prompt_template": ("custom",)},
    )
    labels: Literal["train", "validation"] = setting(
        "train",
        "Labels used",
        help="Prompts of this split, where pairs are imitated.",
        topic="Imitation",
        advanced=True,
        dashboard=True,
    )
    epochs: int = setting(
        3, "Epochs", help="Passes over the completions.", topic="Imitation", ge=1, le=100
    )
    batch: int = setting(
        32, "Batch", help="Examples per step.", topic="Imitation", unit="completions", ge=1, le=1024
    )
    learning_rate: float = setting(
        3e-4, "Learning rate", help="Peak of the schedule.", topic="Imitation", gt=0, le=0.1
    )
    held_out: float = setting(
        0.2,
        "Held-out share",
        help="Share of the prompts whose completions only measure the result.",
        topic="Imitation",
        ge=0.05,
        le=0.5,
        advanced=True,
    )

    @model_validator(mode="after")
    def _template_has_a_place(self) -> "Imitation":
        if self.prompt_template == "custom" and self.custom_template.count("{prompt}") != 1:
            raise ConflictError("custom_template", "the custom template needs {prompt} once")
        return self


# In this order what is imitated comes first.
class SftConfig(ComputationSettings, Fitting, Imitation):
    """Supervised fine-tuning: a policy imitates completions, with no loss on their prompts."""


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
