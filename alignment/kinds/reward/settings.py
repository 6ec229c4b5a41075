"""Settings of reward models."""

from typing import Literal

from pydantic import model_validator

from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.seam.settings import ConflictError, Settings, setting

StrengthName = Literal["ignore", "weigh"]
TiesName = Literal["drop", "davidson", "rao_kupper"]
AnnotatorsName = Literal["ignore", "reliability"]
RankingsName = Literal["pairs", "plackett_luce"]
PoolingName = Literal["mean", "cls"]
CentringName = Literal["labelled", "reference"]
CurveName = Literal["skip", "measure"]


class RewardConfig(Settings):
    """A reward model trained on the labels of a snapshot, each kind by its own likelihood."""

    labels: Literal["train", "validation"] = setting(
        "train",
        "Labels used",
        help="Prompts of this split; a judge is trained on validation, never on train.",
        topic="Reward model",
        advanced=True,
        dashboard=True,
    )
    ties: TiesName = setting(
        "davidson",
        "Ties",
        help="Left out, or used: Davidson's model gives ties a strength of their own, Rao and "
        "Kupper's a margin that annotators cannot see. “Both bad” is a tie too.",
        topic="Labels",
    )
    strength: StrengthName = setting(
        "ignore",
        "Strength of a preference",
        help="Ignored, or a weight: “much better” then counts as three labels.",
        topic="Labels",
    )
    annotators: AnnotatorsName = setting(
        "ignore",
        "Annotators",
        help="Their differences ignored, or fitted along: how sharply each one sees, which side "
        "they favour, how often they choose blindly.",
        topic="Labels",
    )
    rankings: RankingsName = setting(
        "plackett_luce",
        "Rankings",
        help="Of three answers and more: as one label by Plackett and Luce's model, or as pairs.",
        topic="Labels",
        advanced=True,
    )
    overlong: OverlongName = overlong("Labels")
    epochs: int = setting(
        3, "Epochs", help="Passes over the training labels.", topic="Reward model", ge=1, le=100
    )
    batch: int = setting(
        32, "Batch", help="Labels per step.", topic="Reward model", unit="labels", ge=1, le=1024
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
        help="Share of the prompts whose labels only measure accuracy.",
        topic="Reward model",
        ge=0.05,
        le=0.5,
        advanced=True,
    )
    pooling: PoolingName = setting(
        "mean",
        "Masked backbones",
        help="How a model that reads both ways, such as BERT, is read: on average, or at its first "
        "token. Others are read at the last.",
        topic="Reward model",
        advanced=True,
    )
    heads: int = setting(
        1,
        "Heads",
        help="Several form an ensemble on one backbone, each with other weights of the prompts; "
        "where they disagree, labels have said little.",
        topic="Ensemble",
        ge=1,
        le=64,
        advanced=True,
    )
    caution: float = setting(
        0.0,
        "Caution",
        help="So many deviations among the heads are taken off their mean: a lower bound.",
        topic="Ensemble",
        unit="deviations",
        ge=0,
        le=10,
        advanced=True,
    )
    centring: CentringName = setting(
        "labelled",
        "Zero and unit",
        help="Mean and deviation of the reward are 0 and 1 on labelled completions, or on samples "
        "of the reference for labelled prompts.",
        topic="Reward model",
        advanced=True,
    )
    learning_curve: CurveName = setting(
        "skip",
        "Learning curve",
        help="Fits to a quarter and to half of the labels show whether more of them would help.",
        topic="Checks",
        advanced=True,
    )
    folds: int = setting(
        0,
        "Folds",
        help="Of a cross-validation by prompt: so many more fits, each measured on the prompts that "
        "it has not seen; 0 makes none.",
        topic="Checks",
        unit="fits",
        ge=0,
        le=20,
        advanced=True,
    )

    @model_validator(mode="after")
    def _folds_leave_labels(self) -> "RewardConfig":
        if self.folds == 1:
            raise ConflictError("folds", "one fold leaves no labels to learn from; take 0, or 2")
        return self

    @model_validator(mode="after")
    def _caution_needs_heads(self) -> "RewardConfig":
        if self.caution and self.heads == 1:
            raise ConflictError("heads", "one head cannot disagree; caution needs several")
        return self
