"""What answering prompts reports."""

from alignment.kinds.curves import CUT, LENGTH, PACE
from alignment.seam.curves import Curve, Place
from alignment.seam.records import Estimate
from alignment.seam.results import Results, result
from alignment.seam.words import _


class GenerateResults(Results):
    """What the completions are like."""

    prompts: int | None = result(_("Prompts"))
    completions: int | None = result(_("Completions"))
    length_mean: float | None = result(_("Mean length (tokens)"), name="length/mean")
    length_truncated: float | None = result(
        _("Cut at the length limit"), name="length/truncated", share=True
    )
    logps_known: float | None = result(_("With log-probabilities"), name="logps/known", share=True)
    diversity_distinct: float | None = result(
        _("Unlike the prompt's other answers"), name="diversity/distinct", share=True
    )
    kl_bound: float | None = result(_("KL to the sampler, at most (nats)"))
    score_drawn: Estimate | None = result(
        _("Score of all drawn"), meaning=_("By the reward model that chose, over prompts.")
    )
    score_kept: Estimate | None = result(
        _("Score of those kept"), meaning=_("Of the best of several, over prompts.")
    )


CURVES = (
    LENGTH,
    CUT,
    Curve(
        "diversity/distinct",
        _("Unlike the prompt's other answers"),
        _("share of completions"),
        Place.MORE,
    ),
    Curve("logps/known", _("With log-probabilities"), _("share of completions"), Place.MORE),
    PACE[1],
)
