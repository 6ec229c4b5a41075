"""What an evaluation's numbers say, in a sentence a person can act on."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from webapp.site.templatetags.display import percent_estimate

LOST_DIVERSITY = 0.7  # share of the reference's distinct pairs of tokens below which we warn
LONGER = 1.5  # answers this many times as long as the reference's may have won by length
JUDGES = {
    "held_out_labels": "a second reward model of held-out labels",
    "utility": "the simulated utility",
}
Summary = Mapping[str, Any]  # of an evaluate run: Estimates as dicts, and the judge's name


class Verdict(NamedTuple):
    """Whether the policy is better than its reference, and what to be careful about."""

    state: str  # better, worse, unclear, unjudged
    badge: str
    sentence: str
    cautions: list[str]


def verdict(summary: Summary) -> Verdict:
    """The verdict on a finished evaluation."""
    state = judged_state(summary)
    badge = {
        "better": "Better",
        "worse": "Worse",
        "unclear": "No clear difference",
        "unjudged": "Not judged",
    }[state]
    return Verdict(state, badge, SENTENCES[state](summary), cautions(summary, state))


def judged_state(summary: Summary) -> str:
    """Better or worse only where the whole interval of the win rate says so."""
    rate = summary.get("win_rate")
    if not is_measured(rate):
        return "unjudged"
    if rate["low"] > 0.5:
        return "better"
    return "worse" if rate["high"] < 0.5 else "unclear"


def better(summary: Summary) -> str:
    """The policy wins."""
    return f"Better than the reference: it wins {wins(summary)}, {distance(summary)}."


def worse(summary: Summary) -> str:
    """The policy loses; when its reward rose all the same, the reward model was exploited."""
    if has_risen(gain := summary.get("reward_gain")):
        return (
            f"Worse than the reference although its reward rose by {plain(gain)}: "
            f"it wins only {wins(summary)}, {distance(summary)}. The reward model was "
            "over-optimised; collect labels of these answers, or raise beta."
        )
    return f"Worse than the reference: it wins only {wins(summary)}, {distance(summary)}."


def unclear(summary: Summary) -> str:
    """The interval of the win rate covers one half."""
    said = f"No clear difference from the reference: it wins {wins(summary)}, {distance(summary)}."
    if has_risen(gain := summary.get("reward_gain")):
        return (
            f"{said} Its reward rose by {plain(gain)}, which the judge does not see: the reward "
            "model may have been over-optimised."
        )
    return f"{said} More held-out prompts, more labels or a smaller beta would tell."


def unjudged(summary: Summary) -> str:
    """Nobody compared the answers: the reward is what was optimised and proves nothing."""
    gain = summary.get("reward_gain")
    moved = f"the reward moved by {plain(gain)}" if is_measured(gain) else "no reward was measured"
    return (
        f"Not judged: {moved}, {distance(summary)}; the reward is what was optimised, so it says "
        "nothing about quality by itself."
    )


SENTENCES = {"better": better, "worse": worse, "unclear": unclear, "unjudged": unjudged}


def cautions(summary: Summary, state: str) -> list[str]:
    """What may be wrong although the verdict stands."""
    found = []
    if (variety := value_of(summary, "distinct_2_ratio")) is not None and variety < LOST_DIVERSITY:
        found.append(
            f"The answers lost variety: {100 * variety:.0f} % of the reference's distinct "
            "pairs of tokens are left. A larger beta or forward KL keeps more of them."
        )
    before, after = value_of(summary, "length_before"), value_of(summary, "length_after")
    if state == "better" and before and after and after > LONGER * before:
        found.append(
            f"The answers are {after / before:.1f} times as long as the reference's: part of the "
            "wins may be for length."
        )
    return found


def wins(summary: Summary) -> str:
    """The win rate, over how many prompts and by whose judgement."""
    rate = summary["win_rate"]
    judge = JUDGES.get(str(summary.get("judge")), "its judge")
    return f"{percent_estimate(rate)} of {rate['n']} held-out prompts judged by {judge}"


def distance(summary: Summary) -> str:
    """How far the policy went."""
    kl = summary.get("kl_reference")
    return f"at KL {plain(kl)} nats" if is_measured(kl) else "at a KL that could not be estimated"


def plain(estimate: Mapping[str, float]) -> str:
    """An estimate within a sentence, with one decimal more than its interval needs."""
    half = (estimate["high"] - estimate["low"]) / 2
    digits = 1 if half >= 0.1 else 2
    return f"{estimate['value']:.{digits}f} ± {half:.{digits}f}"


def is_measured(estimate: Mapping[str, float] | None) -> TypeGuard[Mapping[str, float]]:
    """Whether there is a number with an interval."""
    return estimate is not None and estimate.get("low") is not None


def has_risen(estimate: Mapping[str, float] | None) -> TypeGuard[Mapping[str, float]]:
    """Whether the whole interval is above zero."""
    return is_measured(estimate) and estimate["low"] > 0


def value_of(summary: Summary, name: str) -> float | None:
    """The bare value of an entry, stored as an Estimate or as a number."""
    entry = summary.get(name)
    return entry.get("value") if isinstance(entry, Mapping) else entry
