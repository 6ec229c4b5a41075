"""Settings of a policy that imitates answers."""

from typing import Literal

from pydantic import model_validator

from alignment.kinds.settings.computation import ComputationSettings
from alignment.kinds.settings.fitting import Fitting
from alignment.seam.settings import ConflictError, Settings, setting

PromptTemplateName = Literal["own", "alpaca", "custom"]


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
