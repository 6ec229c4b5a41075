"""Names of the divergences, and what each can be used for."""

from collections.abc import Mapping
from typing import Any, Literal

from alignment.seam.words import _, said

DivergenceName = Literal[
    "jensen_shannon",
    "reverse_kl",
    "forward_kl",
    "total_variation",
    "squared_hellinger",
    "le_cam",
    "jeffreys",
    "pearson_chi2",
    "neyman_chi2",
    "alpha",
]
DIVERGENCES: Mapping[DivergenceName, str] = {
    "jensen_shannon": _("Jensen-Shannon"),
    "reverse_kl": _("Reverse KL"),
    "forward_kl": _("Forward KL"),
    "total_variation": _("Total variation"),
    "squared_hellinger": _("Squared Hellinger"),
    "le_cam": _("Le Cam"),
    "jeffreys": _("Jeffreys"),
    "pearson_chi2": _("Pearson chi-squared"),
    "neyman_chi2": _("Neyman chi-squared"),
    "alpha": _("Alpha, of the order below"),
}
OFFLINE: tuple[DivergenceName, ...] = (  # f'(0) = -inf: labels decide the policy's ratios alone
    "reverse_kl",
    "forward_kl",
    "jensen_shannon",
    "squared_hellinger",
    "alpha",
)
UNBOUNDED: tuple[DivergenceName, ...] = ("reverse_kl", "jeffreys", "pearson_chi2")  # f'(inf) = inf


def agent_title(name: str) -> str:
    """What an agent of a population is called: after its divergence."""
    words: Mapping[Any, str] = DIVERGENCES
    return short(said(words[name])) if name in words else name


def short(words: str) -> str:
    """The words of a choice without what explains them: what agents of a population are called."""
    return words.partition(",")[0]
