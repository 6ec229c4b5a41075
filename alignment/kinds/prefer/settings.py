"""Settings of a policy that learns from pairs without a reward model."""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from alignment.kinds.settings.adapters import (
    BaseWeightSettings,
    FitAdapterSettings,
    KeptAdapterSettings,
)
from alignment.kinds.settings.computation import ComputationSettings
from alignment.kinds.settings.divergences import DIVERGENCES, OFFLINE, DivergenceName
from alignment.kinds.settings.evaluation import SHARE, EvaluationSettings
from alignment.kinds.settings.fitting import Fitting
from alignment.kinds.settings.gradient import GradientSettings
from alignment.kinds.settings.schedule import CourseSettings
from alignment.kinds.settings.selection import SelectionSettings
from alignment.kinds.settings.splits import SPLITS, SplitName
from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _, said

PreferenceName = Literal["f_dpo", "hinge", "plackett_luce", "ipo", "simpo", "orpo", "kto"]
LOSSES: Mapping[PreferenceName, str] = {
    "f_dpo": _("f-DPO"),
    "hinge": _("Hinge"),
    "plackett_luce": _("Plackett and Luce, of whole rankings"),
    "ipo": _("IPO"),
    "simpo": _("SimPO"),
    "orpo": _("ORPO"),
    "kto": _("KTO"),
}
# By a divergence from the reference.
SCORED: tuple[PreferenceName, ...] = ("f_dpo", "hinge", "plackett_luce")
LearnedName = Literal["pairs", "thumbs"]
LEARNED: Mapping[LearnedName, str] = {
    "pairs": _("Pairs"),
    "thumbs": _("Single answers that people liked or not"),
}


class Preferences(Settings):
    """What a policy learns from pairs, and how."""

    loss: PreferenceName = setting(
        "f_dpo",
        _("Loss"),
        help=_(
            "f-DPO is DPO for reverse KL; hinge and IPO bound the margin; Plackett and Luce's reads rankings as wholes; "
            "SimPO and ORPO look at no reference; KTO reads a pair as two thumbs."
        ),
        topic=_("Preferences"),
        choices=LOSSES,
    )
    learned: LearnedName = setting(
        "pairs",
        _("Learns from"),
        help=_("KTO alone reads answers that were judged by themselves: thumbs, and ratings."),
        topic=_("Preferences"),
        when={"loss": ("kto",)},
        dashboard=True,
        choices=LEARNED,
    )
    divergence: DivergenceName = setting(
        "reverse_kl",
        _("Divergence"),
        help=_("From the reference, which f-DPO and hinge keep small."),
        topic=_("Preferences"),
        when={"loss": SCORED},
        choices=DIVERGENCES,
    )
    alpha: float = setting(
        0.5,
        _("Order"),
        help=_("Of the alpha divergence, and read by it alone; at most 1."),
        topic=_("Preferences"),
        ge=-3,
        le=1,
        when={"loss": SCORED, "divergence": ("alpha",)},
    )
    beta: float = setting(
        0.1,
        _("Beta"),
        help=_(
            "Pull to the reference; smaller means farther from it. SimPO, which has none, takes about 2; for ORPO it "
            "is the weight of the pairs beside the preferred answers."
        ),
        topic=_("Preferences"),
        gt=0,
        le=100,
    )
    target_margin: float = setting(
        0.5,
        _("Target margin"),
        help=_("By how much the preferred answer has to be ahead, times beta."),
        topic=_("Preferences"),
        ge=0,
        le=100,
        when={"loss": ("simpo",)},
    )
    flipped: float = setting(
        0.0,
        _("Labels that are wrong"),
        help=_("The share of pairs that people are thought to have judged the wrong way around."),
        topic=_("Preferences"),
        ge=0,
        le=0.45,
        when={"loss": ("f_dpo", "simpo")},
        advanced=True,
    )
    robust: bool = setting(
        default=False,
        title=_("Correct for wrong labels"),
        help=_(
            "Learn what right labels would have taught on average, instead of being less sure of each."
        ),
        topic=_("Preferences"),
        when={"loss": ("f_dpo", "simpo")},
        advanced=True,
    )
    per_token: bool = setting(
        default=False,
        title=_("By the token"),
        help=_("Divide each answer's part by its tokens, so that length alone wins nothing."),
        topic=_("Preferences"),
        when={"loss": (*SCORED, "ipo")},
        advanced=True,
    )
    sft_weight: float = setting(
        0.0,
        _("Weight of the preferred answers"),
        help=_("Learn them as written answers too, so that they do not become less likely."),
        topic=_("Preferences"),
        ge=0,
        le=100,
        when={"loss": (*SCORED, "ipo", "simpo")},
        advanced=True,
    )
    labels: SplitName = setting(
        "train",
        _("Labels used"),
        help=_("Prompts of this split."),
        topic=_("Preferences"),
        advanced=True,
        dashboard=True,
        choices=SPLITS,
    )
    epochs: int = setting(
        1, _("Epochs"), help=_("Passes over the pairs."), topic=_("Preferences"), ge=1, le=100
    )
    batch: int = setting(
        32,
        _("Batch"),
        help=_("Examples per step."),
        topic=_("Preferences"),
        unit=_("pairs"),
        ge=1,
        le=1024,
    )
    learning_rate: float = setting(
        1e-4,
        _("Learning rate"),
        help=_("Peak of the schedule."),
        topic=_("Preferences"),
        gt=0,
        le=0.1,
    )
    held_out: float = setting(
        0.2,
        _("Held-out share"),
        help=_("Share of the prompts whose pairs only measure the result; 0 holds out none."),
        topic=_("Preferences"),
        ge=0,
        le=0.5,
        advanced=True,
        when=SHARE,
    )

    @model_validator(mode="after")
    def _labels_decide_the_policy(self) -> "Preferences":
        if self.loss in SCORED and self.divergence not in OFFLINE:
            raise ConflictError(
                "divergence",
                said(
                    _(
                        "with {divergence} pairs do not decide the policy, as its f'(0) is finite or its "
                        "loss unknown; take {offline}"
                    ),
                    divergence=self.divergence,
                    offline=", ".join(OFFLINE),
                ),
            )
        return self


class PreferConfig(
    KeptAdapterSettings,
    BaseWeightSettings,
    FitAdapterSettings,
    ComputationSettings,
    GradientSettings,
    Fitting,
    EvaluationSettings,
    CourseSettings,
    SelectionSettings,
    Preferences,
):
    """A policy trained on pairs directly, without a reward model."""
