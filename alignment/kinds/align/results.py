"""What an alignment reports, of which a population's agents report the same."""

from typing import Any

from alignment.kinds.curves import CUT, DISTANCE, LENGTH, LOSS, SAMPLES, STEPPING
from alignment.kinds.settings.divergences import DIVERGENCES
from alignment.kinds.settings.objectives import OBJECTIVES
from alignment.seam.curves import Curve, Place
from alignment.seam.records import Estimate
from alignment.seam.results import Family, StartedResults, result
from alignment.seam.words import _


class AlignResults(StartedResults):
    """Where the policy is, seen from its reference and from its target."""

    families = (
        Family("part_", _("Reward from code: {}"), _("Mean of this part of it.")),
        Family("feature_", _("Feature {}"), _("Mean of what was wished for.")),
        Family("lambda_", _("Lambda {}"), _("Weight that gives the wished mean.")),
        Family("wished_", _("Wished {}"), _("The mean that was wished for.")),
        Family("achieved_", _("Achieved {}"), _("The mean of the weighed reference.")),
    )

    kl_reference: Estimate | None = result(_("KL to the reference (nats)"))
    reward: Estimate | None = result(_("Reward"))
    reward_gain: Estimate | None = result(_("Reward gain"))
    divergence_target: Estimate | None = result(_("Divergence to the target"))
    divergence_heldout: Estimate | None = result(
        _("Divergence to the target, held out"),
        meaning=_("On prompts that were looked at and not learned from, of answers drawn anew."),
    )
    constraints_met: Estimate | None = result(_("Constraints met"))
    steps: int | None = result(_("Steps"))
    objective: str | None = result(_("Objective"), words=OBJECTIVES)
    divergence: str | None = result(_("Divergence"), words=DIVERGENCES)
    fit_ess_fraction: float | None = result(
        _("Effective samples of the fit of wished means"), share=True
    )
    prompts_passed_over: int | None = result(_("Prompts not chosen"))
    stored_completions: int | None = result(_("Stored completions read"))
    receipts: dict[str, Any] | None = result(_("Receipts"), aside=True)


TARGETED = (
    Curve("reward/mean", _("Reward"), _("mean reward")),
    DISTANCE,
    Curve("divergence/target", _("Divergence to the target"), _("divergence")),
    Curve("logz/mean", _("log Z"), _("log Z (nats)")),
    SAMPLES,
    Curve("weights/ess", _("Effective old or shared samples"), _("share of samples")),
    Curve("reward/std", _("Spread of the reward"), _("standard deviation"), Place.MORE),
    LENGTH,
    CUT,
    Curve("entropy/mean", _("Entropy"), _("nats / token"), Place.MORE),
    Curve("baseline/mean", _("Baseline"), _("mean pseudo-reward"), Place.MORE),
    Curve("prompts/skipped", _("Prompts without an estimate of Z"), _("prompts"), Place.MORE),
    Curve("logp/mismatch", _("Sampler and scorer apart"), _("nats / token"), Place.MORE),
    Curve("constraints/met", _("Constraints met"), _("share of completions"), Place.SOME),
    Curve("weights/truncated", _("Cut importance weights"), _("share of weights"), Place.SOME),
    Curve("rho/clipped", _("Cut pseudo-rewards"), _("share of completions"), Place.SOME),
    Curve("nll/demonstrations", _("Loss of the demonstrations"), _("nats / token"), Place.SOME),
)
CURVES = (
    LOSS,
    *STEPPING,
    *TARGETED,
    Curve("heldout/loss", _("Divergence to the target, held out"), _("divergence"), Place.SOME),
    Curve(
        "heldout/interval",
        _("Half the width of its 95 % interval"),
        _("divergence"),
        Place.SOME,
    ),
    Curve("heldout/reward", _("Reward, held out"), _("mean reward"), Place.SOME),
    Curve("heldout/kl", _("Distance from the reference, held out"), _("KL (nats)"), Place.SOME),
    Curve("advantage/std", _("Spread of the advantages"), _("reward"), Place.SOME),
    Curve("ratio/clipped", _("Stopped by the clip"), _("share of ratios"), Place.SOME),
    Curve("prompts/dull", _("Prompts whose completions have one reward"), _("share"), Place.SOME),
    Curve("entropy/exact", _("Entropy in the loss"), _("nats / token"), Place.SOME),
    Curve("preference/loss", _("Loss of the preferences"), _("nats / pair"), Place.SOME),
    Curve("preference/accuracy", _("Accuracy"), _("share of pairs"), Place.SOME),
    Curve("kl/k3", _("KL in the loss"), _("k3 (nats)"), Place.SOME),
    Curve("value/loss", _("Loss of the value"), _("half squared reward"), Place.SOME),
    Curve("value/mean", _("Value"), _("mean reward to come"), Place.SOME),
    Curve("value/explained", _("Explained by the value"), _("share of variance"), Place.SOME),
    Curve("inference/reward", _("Reward as deployed"), _("mean reward"), Place.SOME),
    Curve("inference/divergence", _("Divergence as deployed"), _("divergence"), Place.SOME),
)
