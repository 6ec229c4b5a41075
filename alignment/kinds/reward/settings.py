"""Settings of reward models."""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from alignment.kinds.settings.adapters import (
    BaseWeightSettings,
    FitAdapterSettings,
    KeptAdapterSettings,
)
from alignment.kinds.settings.computation import ComputationSettings, saved_every
from alignment.kinds.settings.evaluation import SHARE, EvaluationSettings
from alignment.kinds.settings.gradient import GradientName, GradientSettings
from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.kinds.settings.schedule import CourseSettings, decay_of_weights
from alignment.kinds.settings.selection import SelectionSettings
from alignment.kinds.settings.splits import SPLITS, SplitName
from alignment.seam.settings import ConflictError, Settings, narrowed, setting
from alignment.seam.words import _, said

StrengthName = Literal["ignore", "weigh"]
STRENGTHS: Mapping[StrengthName, str] = {
    "ignore": _("Ignore"),
    "weigh": _("As a weight"),
}
TiesName = Literal["drop", "davidson", "rao_kupper"]
TIES: Mapping[TiesName, str] = {
    "drop": _("Leave out"),
    "davidson": _("Davidson"),
    "rao_kupper": _("Rao and Kupper"),
}
AnnotatorsName = Literal["ignore", "reliability"]
ANNOTATORS: Mapping[AnnotatorsName, str] = {
    "ignore": _("Ignore"),
    "reliability": _("Fit each one's reliability"),
}
RankingsName = Literal["pairs", "plackett_luce"]
RANKINGS: Mapping[RankingsName, str] = {
    "pairs": _("As pairs"),
    "plackett_luce": _("Plackett and Luce"),
}
PoolingName = Literal["mean", "cls"]
POOLINGS: Mapping[PoolingName, str] = {
    "mean": _("The average"),
    "cls": _("The first token"),
}
CentringName = Literal["labelled", "reference"]
CENTRINGS: Mapping[CentringName, str] = {
    "labelled": _("Labelled completions"),
    "reference": _("Samples of the reference"),
}
CurveName = Literal["skip", "measure"]
CURVES: Mapping[CurveName, str] = {
    "skip": _("No"),
    "measure": _("Yes"),
}
TrunkName = Literal["learned", "frozen"]
TRUNKS: Mapping[TrunkName, str] = {
    "learned": _("Learns along"),
    "frozen": _("Stays as it is"),
}
MarginsName = Literal["subtract", "ignore"]
MARGINS: Mapping[MarginsName, str] = {
    "subtract": _("The preferred answer should be ahead by them"),
    "ignore": _("Ignore"),
}
LEARNED = ("learned",)  # the choices of a backbone that is trained


class LabelSettings(Settings):
    """What is learned from labels, and how."""

    labels: SplitName = setting(
        "train",
        _("Labels used"),
        help=_("Prompts of this split; a judge is trained on validation, never on train."),
        topic=_("Reward model"),
        advanced=True,
        dashboard=True,
        choices=SPLITS,
    )
    ties: TiesName = setting(
        "davidson",
        _("Ties"),
        help=_(
            "Left out, or used: Davidson's model gives ties a strength of their own, Rao and "
            "Kupper's a margin that annotators cannot see. “Both bad” is a tie too."
        ),
        topic=_("Labels"),
        choices=TIES,
    )
    strength: StrengthName = setting(
        "ignore",
        _("Strength of a preference"),
        help=_("Ignored, or a weight: “much better” then counts as three labels."),
        topic=_("Labels"),
        choices=STRENGTHS,
    )
    annotators: AnnotatorsName = setting(
        "ignore",
        _("Annotators"),
        help=_(
            "Their differences ignored, or fitted along: how sharply each one sees, which side "
            "they favour, how often they choose blindly."
        ),
        topic=_("Labels"),
        choices=ANNOTATORS,
    )
    rankings: RankingsName = setting(
        "plackett_luce",
        _("Rankings"),
        help=_(
            "Of three answers and more: as one label by Plackett and Luce's model, or as pairs."
        ),
        topic=_("Labels"),
        advanced=True,
        choices=RANKINGS,
    )
    overlong: OverlongName = overlong(_("Labels"))
    epochs: int = setting(
        3,
        _("Epochs"),
        help=_("Passes over the training labels."),
        topic=_("Reward model"),
        ge=1,
        le=100,
    )
    batch: int = setting(
        32,
        _("Batch"),
        help=_("Labels per step."),
        topic=_("Reward model"),
        unit=_("labels"),
        ge=1,
        le=1024,
    )
    learning_rate: float = setting(
        3e-4,
        _("Learning rate"),
        help=_("Peak of the schedule, of all but the head."),
        topic=_("Reward model"),
        gt=0,
        le=0.1,
    )
    held_out: float = setting(
        0.2,
        _("Held-out share"),
        help=_("Share of the prompts whose labels only measure the result; 0 holds out none."),
        topic=_("Reward model"),
        ge=0,
        le=0.5,
        advanced=True,
        when=SHARE,
    )
    pooling: PoolingName = setting(
        "mean",
        _("Masked backbones"),
        help=_(
            "How a model that reads both ways, such as BERT, is read: on average, or at its first "
            "token. Others are read at the last."
        ),
        topic=_("Reward model"),
        advanced=True,
        choices=POOLINGS,
    )


class EnsembleSettings(Settings):
    """Several heads, and what is measured of them."""

    heads: int = setting(
        1,
        _("Heads"),
        help=_(
            "Several form an ensemble on one backbone, each with other weights of the prompts; "
            "where they disagree, labels have said little."
        ),
        topic=_("Ensemble"),
        ge=1,
        le=64,
        advanced=True,
    )
    caution: float = setting(
        0.0,
        _("Caution"),
        help=_("So many deviations among the heads are taken off their mean: a lower bound."),
        topic=_("Ensemble"),
        unit=_("deviations"),
        ge=0,
        le=10,
        advanced=True,
    )
    centring: CentringName = setting(
        "labelled",
        _("Zero and unit"),
        help=_(
            "Mean and deviation of the reward are 0 and 1 on labelled completions, or on samples "
            "of the reference for labelled prompts."
        ),
        topic=_("Reward model"),
        advanced=True,
        choices=CENTRINGS,
    )
    learning_curve: CurveName = setting(
        "skip",
        _("Learning curve"),
        help=_("Fits to a quarter and to half of the labels show whether more of them would help."),
        topic=_("Checks"),
        advanced=True,
        choices=CURVES,
    )
    folds: int = setting(
        0,
        _("Folds"),
        help=_(
            "Of a cross-validation by prompt: so many more fits, each measured on the prompts that "
            "it has not seen; 0 makes none."
        ),
        topic=_("Checks"),
        unit=_("fits"),
        ge=0,
        le=20,
        advanced=True,
    )


class LossSettings(Settings):
    """What is asked of the scores beside the labels' likelihood."""

    flipped: float = setting(
        0.0,
        _("Labels that are wrong"),
        help=_("The share of pairs that people are thought to have judged the wrong way around."),
        topic=_("Labels"),
        ge=0,
        le=0.45,
        advanced=True,
    )
    margins: MarginsName = setting(
        "subtract",
        _("Margins"),
        help=_(
            "What a file's column “margin” says of a pair, in nats: the least difference of its scores."
        ),
        topic=_("Labels"),
        choices=MARGINS,
        advanced=True,
    )
    centring_penalty: float = setting(
        0.0,
        _("Pull of the scores towards zero"),
        help=_(
            "Weight of the square of a pair's summed scores in the loss, so that scores of different prompts stay "
            "near each other."
        ),
        topic=_("Reward model"),
        ge=0,
        le=10,
        advanced=True,
    )


class TrunkSettings(
    KeptAdapterSettings, BaseWeightSettings, FitAdapterSettings, ComputationSettings
):
    """What of the backbone learns, and how it computes."""

    trunk: TrunkName = setting(
        "learned",
        _("Backbone"),
        help=_(
            "It learns along, all of it or by LoRA, or stays as it is: what it says of every answer is then read "
            "once, and heads are fitted to that in seconds, several for the price of one."
        ),
        topic=_("Reward model"),
        choices=TRUNKS,
    )
    lora_rank: int = narrowed(ComputationSettings, "lora_rank", trunk=LEARNED)
    gradient_checkpointing: bool = narrowed(
        ComputationSettings, "gradient_checkpointing", trunk=LEARNED
    )
    checkpoint_every: int = saved_every(100)


class RewardCourseSettings(CourseSettings):
    """How the learning goes on; that of heads alone is over in seconds, and needs no bound and no end to go on from."""

    weight_decay: float = decay_of_weights(0.05)
    most_minutes: float = narrowed(CourseSettings, "most_minutes", trunk=LEARNED)
    keep_end: bool = narrowed(CourseSettings, "keep_end", trunk=LEARNED)
    most_tokens: int = narrowed(CourseSettings, "most_tokens", trunk=LEARNED)


# In this order labels come first.
class RewardConfig(
    GradientSettings,
    TrunkSettings,
    LossSettings,
    EnsembleSettings,
    EvaluationSettings,
    RewardCourseSettings,
    SelectionSettings,
    LabelSettings,
):
    """A reward model trained on the labels of a snapshot, each kind by its own likelihood."""

    gradient: GradientName = narrowed(GradientSettings, "gradient", trunk=LEARNED)

    @model_validator(mode="after")
    def _curve_is_measured(self) -> "RewardConfig":
        if self.learning_curve == "measure" and self.evaluate_on == "share" and not self.held_out:
            raise ConflictError(
                "held_out", said(_("nothing would be held out to measure the learning curve by"))
            )
        return self

    @model_validator(mode="after")
    def _folds_leave_labels(self) -> "RewardConfig":
        if self.folds == 1:
            raise ConflictError(
                "folds", said(_("one fold leaves no labels to learn from; take 0, or 2"))
            )
        return self

    @model_validator(mode="after")
    def _caution_needs_heads(self) -> "RewardConfig":
        if self.caution and self.heads == 1:
            raise ConflictError("heads", said(_("one head cannot disagree; caution needs several")))
        return self
