"""What an evaluation's numbers say, in a sentence a person can act on."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from webapp.site.templatetags.display import percent_estimate

LOST_DIVERSITY = 0.7  # share of the reference's distinct pairs of tokens below which we warn
LONGER = 1.5  # answers this many times as long as the reference's may have won by length
JUDGES = {
    "held_out_labels": gettext_lazy("a second reward model of held-out labels"),
    "utility": gettext_lazy("the simulated utility"),
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
        "better": _("Better"),
        "worse": _("Worse"),
        "unclear": _("No clear difference"),
        "unjudged": _("Not judged"),
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
    return _told(_("Better than the reference: it wins {wins}, {distance}."), summary)


def worse(summary: Summary) -> str:
    """The policy loses; when its reward rose all the same, the reward model was exploited."""
    if has_risen(summary.get("reward_gain")):
        words = _(
            "Worse than the reference although its reward rose by {gain}: it wins only {wins}, "
            "{distance}. The reward model was over-optimised; collect labels of these answers, or "
            "raise beta."
        )
        return _told(words, summary)
    return _told(_("Worse than the reference: it wins only {wins}, {distance}."), summary)


def unclear(summary: Summary) -> str:
    """The interval of the win rate covers one half."""
    first = _("No clear difference from the reference: it wins {wins}, {distance}.")
    then = _("More held-out prompts, more labels or a smaller beta would tell.")
    if has_risen(summary.get("reward_gain")):
        then = _(
            "Its reward rose by {gain}, which the judge does not see: the reward model may have been "
            "over-optimised."
        )
    return _told(f"{first} {then}", summary)


def unjudged(summary: Summary) -> str:
    """Nobody compared the answers: the reward is what was optimised and proves nothing."""
    if is_measured(summary.get("reward_gain")):
        words = _(
            "Not judged: the reward moved by {gain}, {distance}; the reward is what was optimised, so "
            "it says nothing about quality by itself."
        )
    else:
        words = _(
            "Not judged: no reward was measured, {distance}; the reward is what was optimised, so it "
            "says nothing about quality by itself."
        )
    return _told(words, summary)


def _told(words: str, summary: Summary) -> str:
    """A sentence with the numbers of the evaluation in their places."""
    gain = summary.get("reward_gain")
    return words.format(
        wins=_wins(summary) if is_measured(summary.get("win_rate")) else "",
        distance=distance(summary),
        gain=_plain(gain) if is_measured(gain) else "",
    )


SENTENCES = {"better": better, "worse": worse, "unclear": unclear, "unjudged": unjudged}


def cautions(summary: Summary, state: str) -> list[str]:
    """What may be wrong although the verdict stands."""
    found = []
    if (variety := _value_of(summary, "distinct_2_ratio")) is not None and variety < LOST_DIVERSITY:
        found.append(
            _(
                "The answers lost variety: {n} % of the reference's distinct pairs of tokens are "
                "left. A larger beta or forward KL keeps more of them."
            ).format(n=f"{100 * variety:.0f}")
        )
    before, after = _value_of(summary, "length_before"), _value_of(summary, "length_after")
    if state == "better" and before and after and after > LONGER * before:
        found.append(
            _(
                "The answers are {n} times as long as the reference's: part of the wins may be for "
                "length."
            ).format(n=f"{after / before:.1f}")
        )
    return found


def _wins(summary: Summary) -> str:
    """The win rate, over how many prompts and by whose judgement."""
    rate = summary["win_rate"]
    judge = JUDGES.get(str(summary.get("judge")), _("its judge"))
    return _("{share} of {n} held-out prompts judged by {judge}").format(
        share=percent_estimate(rate), n=rate["n"], judge=judge
    )


def distance(summary: Summary) -> str:
    """How far the policy went."""
    kl = summary.get("kl_reference")
    if not is_measured(kl):
        return _("at a KL that could not be estimated")
    return _("at KL {kl} nats").format(kl=_plain(kl))


def _plain(estimate: Mapping[str, float]) -> str:
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


def _value_of(summary: Summary, name: str) -> float | None:
    """The bare value of an entry, stored as an Estimate or as a number."""
    entry = summary.get(name)
    return entry.get("value") if isinstance(entry, Mapping) else entry
