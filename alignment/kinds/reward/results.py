"""What the training of a reward model reports."""

from typing import Any

from alignment.kinds.curves import ACCURACY, LEARNING
from alignment.seam.curves import Curve
from alignment.seam.records import Estimate
from alignment.seam.results import ModelResults, result
from alignment.seam.words import _


class RewardResults(ModelResults):
    """How well held-out labels are told."""

    accuracy: Estimate | None = result(_("Accuracy"))
    nll: Estimate | None = result(_("Held-out loss (nats)"))
    nll_labels: Estimate | None = result(_("Held-out loss of all labels (nats)"))
    disagreement: Estimate | None = result(_("Disagreement"))
    accuracy_crossvalidated: Estimate | None = result(_("Accuracy crossvalidated"))
    nll_crossvalidated: Estimate | None = result(_("NLL crossvalidated"))
    nll_calibrated: Estimate | None = result(_("Held-out loss after scaling (nats)"))
    temperature: float | None = result(_("Calibration temperature"))
    ece: float | None = result(_("Calibration error"), share=True)
    ece_calibrated: float | None = result(_("Calibration error after scaling"), share=True)
    center: float | None = result(_("Center of the rewards"))
    scale: float | None = result(_("Spread of the rewards"))
    pairs_train: int | None = result(_("Pairs to train on"))
    pairs_heldout: int | None = result(_("Held-out pairs"))
    pairs_contradicted: int | None = result(_("Pairs that contradict others"))
    ties_train: int | None = result(_("Ties to train on"))
    rankings_train: int | None = result(_("Rankings train"))
    thumbs_train: int | None = result(_("Thumbs train"))
    ratings_train: int | None = result(_("Ratings train"))
    prompts_heldout: int | None = result(_("Held-out prompts"))
    labels_passed_over: int | None = result(_("Labels not chosen"))
    labels_cut: int | None = result(_("Labels cut to the context"))
    accuracy_by: list[dict[str, Any]] | None = result(_("Accuracy by agreement and length"))
    learning_curve: list[dict[str, Any]] | None = result(_("Learning curve"))
    annotators: list[dict[str, Any]] | None = result(_("Annotators"))
    ess_by_beta: list[tuple[float, float]] | None = result(_("Ess by beta"), aside=True)


CURVES = (
    *LEARNING,
    ACCURACY,
    Curve("preference/nll", _("Negative log-likelihood"), _("nats / pair")),
)
