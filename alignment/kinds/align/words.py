"""What sentences say of an alignment's or a population's target."""

from math import log

from alignment.kinds.align.settings import AlignConfig, TargetedSettings
from alignment.kinds.kind import Given
from alignment.kinds.settings.divergences import DIVERGENCES
from alignment.kinds.settings.objectives import OBJECTIVES
from alignment.seam.words import _, said

LEAST_ESS = 0.10  # effective share of answers, below which Jensen-Shannon loses its signal


def aim(config: AlignConfig) -> str:
    """What an alignment minimises, as sentences name it."""
    fdpg = config.objective == "fdpg"
    return said(DIVERGENCES[config.divergence] if fdpg else OBJECTIVES[config.objective])


def goal(given: Given) -> str:
    """What answers are drawn to."""
    named = given.names.get("reward") or given.names.get("code")
    return named or said(_("its rules, constraints and wished means"))


def tilt(config: TargetedSettings, given: Given) -> str:
    """How many answers carry the target at this beta, and what to do where they are few; where known.

    Only of the reward model's own score: of a sum with rules the reward run knew nothing.
    """
    known = given.tilts
    others = config.rules or config.class_weight or config.code_weight
    if not known or others or config.demands:
        return ""
    share = known[min(known, key=lambda beta: abs(log(beta * config.reward_weight / config.beta)))]
    told = said(
        _(" At this beta about {share:.0f} % of answers count (effective sample size)"),
        share=100 * share,
    )
    if share >= LEAST_ESS:
        return f"{told}."
    best = min((beta for beta, ess in known.items() if ess >= LEAST_ESS), default=max(known))
    return told + said(
        _(
            ": few to learn from. Beta {beta:.2g} leaves about {share:.0f} %; reverse KL learns from few too, "
            "and a round at a larger beta first brings the model nearer."
        ),
        beta=best * config.reward_weight,
        share=100 * known[best],
    )
