"""Names of the divergences, and what each can be used for."""

from typing import Literal

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
OFFLINE: tuple[DivergenceName, ...] = (  # f'(0) = -inf: labels decide the policy's ratios alone
    "reverse_kl",
    "forward_kl",
    "jensen_shannon",
    "squared_hellinger",
    "alpha",
)
UNBOUNDED: tuple[DivergenceName, ...] = ("reverse_kl", "jeffreys", "pearson_chi2")  # f'(inf) = inf
