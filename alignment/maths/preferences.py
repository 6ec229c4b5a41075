"""Losses on labelled completions, with no sampling: pure functions of log-ratios to the reference.

u = log policy(x|c) - log reference(x|c), summed over tokens. Where f'(0) = -inf, the policy that
maximises E[r] - beta D_f(policy || reference) has r = beta f'(e^u) + a constant of the prompt, which
Bradley and Terry's model of a label does not see (Wang et al., 2024, theorem 1):

    -log sigma(beta (s(u_chosen) - s(u_rejected))),  s = f'(e^u) up to a constant

Departures: IPO's margin is a sum over tokens, as its paper writes it, unless a mean is asked for; an exponential goes on
along its tangent beyond e^30, where its gradient could not be told from infinity.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

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


class Sides(NamedTuple):
    """(n,) each: of the chosen and the rejected completion of a pair, u, the log-probability, and the tokens."""

    chosen: Tensor
    rejected: Tensor
    chosen_logps: Tensor
    rejected_logps: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor

    @property
    def mean_logps(self) -> tuple[Tensor, Tensor]:
        """(n,) log-probabilities a token of the chosen and of the rejected."""
        return self.chosen_logps / self.chosen_tokens, self.rejected_logps / self.rejected_tokens


def f_dpo_margins(sides: Sides, score: Score, beta: float, *, per_token: bool = False) -> Tensor:
    """(n,) beta (s(u_chosen) - s(u_rejected)) (Wang et al., 2024, equation 8).

    `per_token` divides each side's by its tokens, so that length alone wins nothing (as SimPO does of
    log-probabilities; Meng et al., 2024, section 2.2).
    """
    chosen, rejected = score(sides.chosen), score(sides.rejected)
    if per_token:
        chosen, rejected = chosen / sides.chosen_tokens, rejected / sides.rejected_tokens
    return beta * (chosen - rejected)


def simpo_margins(sides: Sides, beta: float, target: float) -> Tensor:
    """(n,) beta times the difference of log-probabilities a token, less a target (Meng et al., 2024, equation 6)."""
    chosen, rejected = sides.mean_logps
    return beta * (chosen - rejected) - target


def odds_margins(sides: Sides) -> Tensor:
    """(n,) log odds(chosen) - log odds(rejected), odds = p / (1 - p) of the mean token (Hong et al., 2024, equations 4 to 6)."""
    chosen, rejected = sides.mean_logps
    return (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))


def log1mexp(logps: Tensor) -> Tensor:
    """log(1 - e^x) of x < 0, exact on both sides of -log 2; x is kept a little below 0, where it has no bound."""
    below = logps.clamp(max=-torch.finfo(logps.dtype).eps)
    near = torch.log(-torch.expm1(below))
    return torch.where(below > -math.log(2), near, torch.log1p(-below.exp()))


def logistic_losses(margins: Tensor, flipped: float = 0.0, *, robust: bool = False) -> Tensor:
    """(n,) -(1 - e) log sigma(m) - e log sigma(-m) where a share e of labels is the other way around (cDPO; Mitchell, 2023).

    `robust` instead has the mean that -log sigma(m) had of labels that are right: ((1 - e) l(m) - e l(-m)) /
    (1 - 2 e), which can be negative (Ray Chowdhury et al., 2024, equation 12).
    """
    right, wrong = -F.logsigmoid(margins), -F.logsigmoid(-margins)
    if robust:
        return ((1 - flipped) * right - flipped * wrong) / (1 - 2 * flipped)
    return (1 - flipped) * right + flipped * wrong


def hinge_losses(margins: Tensor) -> Tensor:
    """(n,) max(0, 1 - m): a pair whose margin is 1 teaches nothing more (Zhao et al., 2023, SLiC)."""
    return torch.relu(1 - margins)


def ipo_losses(margins: Tensor, beta: float) -> Tensor:
    """(n,) (u_chosen - u_rejected - 1 / (2 beta))^2 of that difference (Azar et al., 2024, equation 17)."""
    return (margins - 1 / (2 * beta)) ** 2


def kto_losses(ratios: Tensor, good: Tensor, kl: Tensor, beta: float) -> Tensor:
    """(n,) 1 - sigma(+-beta (u - z)), + where `good` (Ethayarajh et al., 2024, equation 8).

    z = max(0, kl), kl the mean log-ratio of completions beside prompts that they do not answer.
    """
    assert ratios.shape == good.shape
    signs = torch.where(good, 1.0, -1.0)
    return torch.sigmoid(-signs * beta * (ratios - kl.detach().clamp(min=0)))
