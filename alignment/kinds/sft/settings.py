"""Settings of a policy that imitates answers."""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from alignment.kinds.settings.adapters import (
    BaseWeightSettings,
    FitAdapterSettings,
    KeptAdapterSettings,
)
from alignment.kinds.settings.computation import ComputationSettings
from alignment.kinds.settings.evaluation import SHARE, EvaluationSettings
from alignment.kinds.settings.fitting import Fitting
from alignment.kinds.settings.gradient import GradientSettings
from alignment.kinds.settings.schedule import CourseSettings
from alignment.kinds.settings.selection import SelectionSettings
from alignment.kinds.settings.splits import SPLITS, SplitName
from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _, said

PromptTemplateName = Literal["own", "alpaca", "custom"]
TurnsName = Literal["last", "all"]
TURNS: Mapping[TurnsName, str] = {
    "last": _("The last of a conversation"),
    "all": _("All of the assistant's"),
}
PROMPT_TEMPLATES: Mapping[PromptTemplateName, str] = {
    "own": _("The model's own"),
    "alpaca": _("Alpaca's"),
    "custom": _("A custom one"),
}


class Imitation(Settings):
    """How completions are imitated."""

    prompt_template: PromptTemplateName = setting(
        "own",
        _("Prompt template"),
        help=_(
            "How a prompt is written before the model: by its own chat template, as Alpaca does, "
            "or as below; the model keeps it."
        ),
        topic=_("Imitation"),
        choices=PROMPT_TEMPLATES,
    )
    custom_template: str = setting(
        "",
        _("Custom template"),
        help=_(
            "Text with {prompt} where a turn of the user's stands, up to where the answer begins."
        ),
        topic=_("Imitation"),
        max_length=2000,
        when={"prompt_template": ("custom",)},
    )
    turns: TurnsName = setting(
        "last",
        _("Answers that are learned"),
        help=_(
            "Of conversations with several turns: the last answer alone, or the earlier ones too."
        ),
        topic=_("Imitation"),
        choices=TURNS,
    )
    packing: bool = setting(
        default=False,
        title=_("Pack conversations"),
        help=_(
            "Several stand in one row of a forward, none of which reads another: nothing is computed for padding, "
            "which saves time on GPUs where their lengths differ much."
        ),
        topic=_("Imitation"),
        advanced=True,
    )
    labels: SplitName = setting(
        "train",
        _("Labels used"),
        help=_("Prompts of this split, where pairs are imitated."),
        topic=_("Imitation"),
        advanced=True,
        dashboard=True,
        choices=SPLITS,
    )
    epochs: int = setting(
        3, _("Epochs"), help=_("Passes over the completions."), topic=_("Imitation"), ge=1, le=100
    )
    batch: int = setting(
        32,
        _("Batch"),
        help=_("Examples per step."),
        topic=_("Imitation"),
        unit=_("completions"),
        ge=1,
        le=1024,
    )
    learning_rate: float = setting(
        3e-4,
        _("Learning rate"),
        help=_("Peak of the schedule."),
        topic=_("Imitation"),
        gt=0,
        le=0.1,
    )
    held_out: float = setting(
        0.2,
        _("Held-out share"),
        help=_("Share of the prompts whose completions only measure the result; 0 holds out none."),
        topic=_("Imitation"),
        ge=0,
        le=0.5,
        advanced=True,
        when=SHARE,
    )

    @model_validator(mode="after")
    def _template_has_a_place(self) -> "Imitation":
        if self.prompt_template == "custom" and self.custom_template.count("{prompt}") != 1:
            raise ConflictError(
                "custom_template", said(_("the custom template needs {{prompt}} once"))
            )
        return self


# In this order what is imitated comes first.
class SftConfig(
    KeptAdapterSettings,
    BaseWeightSettings,
    FitAdapterSettings,
    ComputationSettings,
    GradientSettings,
    Fitting,
    EvaluationSettings,
    CourseSettings,
    SelectionSettings,
    Imitation,
):
    """Supervised fine-tuning: a policy imitates completions, with no loss on their prompts."""
