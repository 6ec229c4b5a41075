"""What distillation reports."""

from alignment.kinds.costs import COST_CURVES, CostResults
from alignment.kinds.curves import LEARNING
from alignment.kinds.distil.settings import DISTILLATIONS
from alignment.seam.curves import Curve, Place
from alignment.seam.records import Estimate
from alignment.seam.results import result
from alignment.seam.words import _

CURVES = (
    *(curve for curve in LEARNING if curve.key != "seconds/step"),
    Curve("kl/teacher", _("KL from the teacher"), _("KL a token (nats)"), Place.SOME),
    Curve("nll/answers", _("Loss of the answers"), _("nats / token"), Place.SOME),
    Curve("divergence/teacher", _("Divergence from the teacher"), _("divergence"), Place.SOME),
    *COST_CURVES,
)


class DistilResults(CostResults):
    """How large the student is, and how near it has come to its teacher."""

    objective: str | None = result(_("It learned from"), words=DISTILLATIONS)
    gap_closed: float | None = result(
        _("Gap to the teacher closed"),
        meaning=_("Share of the KL from it, on answers that only measure."),
        share=True,
    )
    kl_start: Estimate | None = result(
        _("KL from the teacher at the start, a token"),
        meaning=_("KL(teacher ‖ student) on answers that only measure."),
    )
    kl_end: Estimate | None = result(
        _("KL from the teacher at the end, a token"), meaning=_("The same after training.")
    )
    answers_train: int | None = result(_("Answers to learn from"))
    answers_heldout: int | None = result(_("Answers that only measure"))
    encoder: bool | None = result(_("Encoder"))
    student_layers: int | None = result(_("Layers of the student"))
    student_width: int | None = result(_("Width of the student"))
    parameters_ratio: float | None = result(_("Parameters, of the teacher's"), share=True)
