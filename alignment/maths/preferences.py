"""Losses on labelled completions, with no sampling: pure functions of log-ratios to the reference.

u = log policy(x|c) - log reference(x|c), summed over tokens. Where f'(0) = -inf, the policy that
maximises E[r] - beta D_f(policy || reference) has r = beta f'(e^u) + a constant of the prompt, which
Bradley and Terry's model of a label does not see (Wang et al., 2024, theorem 1):

    -log sigma(beta (s(u_chosen) - s(u_rejected))),  s = f'(e^u) up to a constant

Departures: IPO's margin is a sum over tokens, as its paper writes it, not a mean; an exponential goes on
along its tangent beyond e^30, where its gradient could not be told from infinity.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Score = Callable[[Tensor], Tensor]
STEEP = 30.0  # exponent


def expm1(exponent: Tensor) -> Tensor:
    """e^x - 1, and its tangent at STEEP beyond that."""
    inside = torch.expm1(exponent.clamp(max=STEEP))
    return torch.where(
        exponent > STEEP, math.expm1(STEEP) + math.exp(STEEP) * (exponent - STEEP), inside
    )


SCORES: dict[str, Score] = {
    "reverse_kl": lambda u: u,  # DPO
    "forward_kl": lambda u: -expm1(-u),
    "jensen_shannon": F.logsigmoid,  # of twice the Jensen-Shannon divergence
    "squared_hellinger": lambda u: -0.5 * expm1(-u / 2),
}


def score_of(divergence: str, alpha: float) -> Score:
    """s of a divergence; `alpha` is read by the alpha divergence alone, and is below 1 or 1."""
    if divergence != "alpha":
        return SCORES[divergence]
    if abs(alpha - 1) < 1e-6:
        return SCORES["reverse_kl"]
    return lambda u: -expm1((alpha - 1) * u) / (1 - alpha)


def f_dpo_losses(chosen: Tensor, rejected: Tensor, score: Score, beta: float) -> Tensor:
    """(n,) -log sigma(beta (s(u_chosen) - s(u_rejected))) (Wang et al., 2024, equation 8)."""
    assert chosen.shape == rejected.shape
    return -F.logsigmoid(beta * (score(chosen) - score(rejected)))


def ipo_losses(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """(n,) (u_chosen - u_rejected - 1 / (2 beta))^2 (Azar et al., 2024, equation 17)."""
    assert chosen.shape == rejected.shape
    return (chosen - rejected - 1 / (2 * beta)) ** 2


def kto_losses(ratios: Tensor, good: Tensor, kl: Tensor, beta: float) -> Tensor:
    """(n,) 1 - sigma(+-beta (u - z)), + where `good` (Ethayarajh et al., 2024, equation 8).

    z = max(0, kl), kl the mean log-ratio of completions beside prompts that they do not answer.
    """
    assert ratios.shape == good.shape
    signs = torch.where(good, 1.0, -1.0)
    return torch.sigmoid(-signs * beta * (ratios - kl.detach().clamp(min=0)))
