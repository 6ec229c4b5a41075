"""Settings of a policy that learns from pairs without a reward model."""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from alignment.kinds.settings.computation import ComputationSettings
from alignment.kinds.settings.divergences import DIVERGENCES, OFFLINE, DivergenceName
from alignment.kinds.settings.fitting import Fitting
from alignment.kinds.settings.gradient import GradientSettings
from alignment.kinds.settings.selection import SelectionSettings
from alignment.kinds.settings.splits import SPLITS, SplitName
from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _, said

PreferenceName = Literal["f_dpo", "ipo", "kto"]
LOSSES: Mapping[PreferenceName, str] = {
    "f_dpo": _("f-DPO"),
    "ipo": _("IPO"),
    "kto": _("KTO"),
}
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
            "f-DPO is DPO for reverse KL; IPO bounds the margin; KTO reads a pair as two thumbs."
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
        help=_("From the reference, which f-DPO keeps small."),
        topic=_("Preferences"),
        when={"loss": ("f_dpo",)},
        choices=DIVERGENCES,
    )
    alpha: float = setting(
        0.5,
        _("Order"),
        help=_("Of the alpha divergence, and read by it alone; at most 1."),
        topic=_("Preferences"),
        ge=-3,
        le=1,
        when={"loss": ("f_dpo",), "divergence": ("alpha",)},
    )
    beta: float = setting(
        0.1,
        _("Beta"),
        help=_("Pull to the reference; smaller means farther from it."),
        topic=_("Preferences"),
        gt=0,
        le=100,
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
        help=_("Share of the prompts whose pairs only measure the result."),
        topic=_("Preferences"),
        ge=0.05,
        le=0.5,
        advanced=True,
    )

    @model_validator(mode="after")
    def _labels_decide_the_policy(self) -> "Preferences":
        if self.loss == "f_dpo" and self.divergence not in OFFLINE:
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


class PreferConfig(ComputationSettings, GradientSettings, Fitting, SelectionSettings, Preferences):
    """A policy trained on pairs directly, without a reward model: f-DPO, IPO or KTO."""
