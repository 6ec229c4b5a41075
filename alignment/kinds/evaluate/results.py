"""What an evaluation reports."""

from typing import Any

from alignment.kinds.curves import DISTANCE, PACE, SAMPLES
from alignment.kinds.evaluate.settings import JUDGES
from alignment.kinds.settings.divergences import DIVERGENCES
from alignment.seam.curves import Curve
from alignment.seam.records import Estimate
from alignment.seam.results import Family, StartedResults, result
from alignment.seam.words import _


class EvaluateResults(StartedResults):
    """The policy beside its reference and its target; what has a meaning is a measurement of it."""

    families = (
        Family("part_", _("Reward from code: {}"), _("Mean of this part of it.")),
        Family("class_", _("Class {}"), _("Mean probability that the classifier gives it.")),
        Family("feature_", _("{}"), _("Mean of what was wished for.")),
        Family("", _("{}, served"), _("Of the policy as it will be served."), after="_served"),
    )

    win_rate: Estimate | None = result(
        _("Win rate"), meaning=_("Share of comparisons with the reference that the policy wins.")
    )
    utility_gain: Estimate | None = result(
        _("Judge's gain"), meaning=_("Mean change of the judge's score.")
    )
    reward_gain: Estimate | None = result(
        _("Reward gain"), meaning=_("Mean change of the reward that was optimised.")
    )
    kl_reference: Estimate | None = result(
        _("KL to the reference"), meaning=_("How far the policy went from where it started.")
    )
    divergence: Estimate | None = result(
        _("Divergence to the target"), meaning=_("What the training minimised; zero at the target.")
    )
    target_reverse_kl: Estimate | None = result(
        _("KL(policy, target)"), meaning=_("RLHF's distance to the target.")
    )
    target_forward_kl: Estimate | None = result(
        _("KL(target, policy)"), meaning=_("Large where the policy misses answers it should give.")
    )
    target_total_variation: Estimate | None = result(
        _("Total variation"), meaning=_("Share of answers that differ from the target's.")
    )
    target_jensen_shannon: Estimate | None = result(
        _("Jensen-Shannon"), meaning=_("From 0 at the target to 0.69 nats.")
    )
    log_z: Estimate | None = result(
        _("log Z"),
        meaning=_("Log of the target's normaliser; the most that beta times it can gain."),
    )
    elbo: Estimate | None = result(
        _("Lower bound of log Z"),
        meaning=_("Mean log weight; far below log Z the policy is far from the target."),
    )
    alignment_gap: Estimate | None = result(
        _("Alignment gap"), meaning=_("Reward that is still missing to the optimal policy.")
    )
    ess_fraction: Estimate | None = result(
        _("Effective samples"), meaning=_("Share of samples that carry these estimates.")
    )
    pareto_shape: Estimate | None = result(
        _("Tail of the weights"),
        meaning=_("Pareto's k; above 0.7 these estimates cannot be trusted."),
    )
    distinct_2_ratio: Estimate | None = result(
        _("Variety kept"), meaning=_("Distinct pairs of tokens, relative to the reference.")
    )
    self_bleu_before: Estimate | None = result(
        _("Self-BLEU before"), meaning=_("How alike the reference's answers to a prompt are.")
    )
    self_bleu_after: Estimate | None = result(
        _("Self-BLEU after"), meaning=_("How alike the policy's answers to a prompt are.")
    )
    entropy_before: Estimate | None = result(
        _("Entropy before"), meaning=_("Of the reference's answers.")
    )
    entropy_after: Estimate | None = result(
        _("Entropy after"), meaning=_("Of the policy's answers.")
    )
    constraints_met_before: Estimate | None = result(
        _("Constraints met before"), meaning=_("Share of the reference's answers.")
    )
    constraints_met_after: Estimate | None = result(
        _("Constraints met after"), meaning=_("Share of the policy's answers.")
    )
    length_before: Estimate | None = result(
        _("Length before"), meaning=_("Mean length of the reference's answers.")
    )
    length_after: Estimate | None = result(
        _("Length after"), meaning=_("Mean length of the policy's answers.")
    )
    exact_match_gain: Estimate | None = result(
        _("Exact match gained"), meaning=_("Share of answers that say what is known, above before.")
    )
    token_f1_gain: Estimate | None = result(
        _("Token F1 gained"), meaning=_("Words shared with a known answer, above before.")
    )
    chrf_gain: Estimate | None = result(
        _("chrF gained"), meaning=_("Letters shared with a known answer, of 100, above before.")
    )
    bleu_gain: Estimate | None = result(
        _("BLEU gained"), meaning=_("Of 100, above before; sacrebleu's, of all answers together.")
    )
    exact_match_after: Estimate | None = result(
        _("Exact match after"), meaning=_("Share of the policy's answers that say what is known.")
    )
    token_f1_after: Estimate | None = result(
        _("Token F1 after"), meaning=_("Of the policy's answers and the nearest known one.")
    )
    chrf_after: Estimate | None = result(_("chrF after"), meaning=_("Of 100, of the policy."))
    bleu_after: Estimate | None = result(_("BLEU after"), meaning=_("Of 100, of the policy."))
    exact_match_before: Estimate | None = result(_("Exact match before"))
    token_f1_before: Estimate | None = result(_("Token F1 before"))
    chrf_before: Estimate | None = result(_("chrF before"))
    bleu_before: Estimate | None = result(_("BLEU before"))
    prompts_known: int | None = result(_("Prompts with a known answer"))
    reward_before: Estimate | None = result(_("Reward before"))
    reward_after: Estimate | None = result(_("Reward after"))
    utility_before: Estimate | None = result(_("Judge's score before"))
    utility_after: Estimate | None = result(_("Judge's score after"))
    truncated_before: Estimate | None = result(_("Cut before"))
    truncated_after: Estimate | None = result(_("Cut after"))
    distinct_2_before: Estimate | None = result(_("Variety before"))
    distinct_2_after: Estimate | None = result(_("Variety after"))
    judge: str | None = result(_("Judge"), words=JUDGES)
    divergence_name: str | None = result(_("Divergence"), words=DIVERGENCES)
    receipts: dict[str, Any] | None = result(_("Receipts"), aside=True)


CURVES = (
    Curve("reward/before", _("Reward of the reference"), _("mean reward")),
    Curve("reward/after", _("Reward of the policy"), _("mean reward")),
    DISTANCE,
    SAMPLES,
    PACE[1],
)
