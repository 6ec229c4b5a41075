"""f-divergences D_f(policy || target) and the pseudo-rewards that minimise them.

t = policy / target, u = log t. D_f = E_target[f(t)] + f'(inf) policy(target = 0), f convex, f(1) = 0.
Its gradient is E_policy[f'(t) grad log policy] (Go et al., 2023, theorem 1), so the pseudo-reward is
rho(u) = -(f'(e^u) - f'(1)): 0 where policy = target, and finite or not at u = inf as f'(inf) is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.distil.settings import DistilConfig

LOG2 = math.log(2)
NEAR = 1e-2  # nats
FAR = 700.0  # nats: e^700 is still a double


@dataclass(frozen=True)
class Divergence:
    """One f, with forms in u that are stable wherever they are finite.

    `term` is e^-u (f(e^u) - f'(1) (e^u - 1)), whose mean over the policy is D_f, as both the policy and
    the target sum to 1. f is convex, above its tangent at 1: so it is never negative, sample by sample.
    Each is written as products or sums of what is not negative, which rounding does not change.
    """

    f: Callable[[Tensor], Tensor]
    pseudo_reward: Callable[[Tensor], Tensor]  # rho(u)
    term: Callable[[Tensor], Tensor]
    limit: float  # f'(inf): the cost of a unit of policy where the target has no mass

    def divergence(self, policy: Tensor, target: Tensor) -> Tensor:
        """D_f of probability tensors over the last dimension; differentiable in the policy."""
        assert policy.shape == target.shape
        seen = target > 0
        inside = torch.where(seen, target, 1.0)
        # x * f(policy / x) with both at 1 is 0: where the target has no mass only `limit` counts.
        terms = inside * self.f(torch.where(seen, policy, 1.0) / inside)
        outside = torch.where(seen, 0.0, policy).sum(-1)
        return terms.sum(-1) + (outside * self.limit if (outside > 0).any() else outside)

    def terms(self, u: Tensor) -> Tensor:
        """Per sample of the policy an unbiased estimate of D_f(policy || target), never negative, in fp64."""
        return self.term(u.to(torch.float64))


def alpha(order: float) -> Divergence:
    """The alpha divergence (Cressie-Read); within 1e-6 of 1 or 0 it is reverse or forward KL."""
    if abs(order - 1) < 1e-6:
        return DIVERGENCES["reverse_kl"]
    if abs(order) < 1e-6:
        return DIVERGENCES["forward_kl"]
    return Divergence(
        lambda t: (t**order - order * t + order - 1) / (order * (order - 1)),
        lambda u: -torch.expm1((order - 1) * u) / (order - 1),
        lambda u: _alpha_term(u, order),
        limit=1 / (1 - order) if order < 1 else math.inf,
    )


def divergence_of(config: AlignConfig | DistilConfig) -> Divergence:
    """The divergence that a run's settings name."""
    name = config.minimised
    return alpha(config.alpha) if name == "alpha" else DIVERGENCES[name]


def _jensen_shannon(t: Tensor) -> Tensor:
    return 0.5 * (torch.xlogy(t, t) - (1 + t) * torch.log((1 + t) / 2))


def above_tangent(x: Tensor) -> Tensor:
    """e^-x - 1 + x, never negative: its mean over x = log policy - log q is KL(policy || q) (k3; Schulman, 2020).

    The second order is all there is near 0, where the difference would leave rounding.
    """
    near = x.abs() < NEAR
    y = x.where(near, 0.0)
    series = y**2 / 2 * (1 - y / 3 * (1 - y / 4 * (1 - y / 5 * (1 - y / 6))))
    return torch.where(near, series, torch.expm1(-x) + x)


def _jensen_shannon_term(u: Tensor) -> Tensor:
    """With m = (1 + t) / 2: both halves are KL's, of t and of 1 from m."""
    u = u.clamp(-FAR, FAR)
    of_policy = above_tangent(LOG2 - F.softplus(-u))
    return 0.5 * (of_policy + torch.exp(-u) * above_tangent(LOG2 - F.softplus(u)))


def _forward_kl_term(u: Tensor) -> Tensor:
    u = u.clamp(-FAR, FAR)
    return torch.exp(-u) * above_tangent(-u)


def _alpha_term(u: Tensor, order: float) -> Tensor:
    """Near 0 the first orders, which cancel, are left out."""
    less = order - 1
    u = u.clamp(min=-FAR / max(1.0, abs(less)))
    near = u.abs() < 0.5
    y = u.where(near, 0.0)
    inside = above_tangent(-less * y) + less * above_tangent(y)
    outside = torch.expm1(less * u) + less * torch.expm1(-u)
    return torch.where(near, inside, outside) / (order * less)


DIVERGENCES: dict[str, Divergence] = {
    "forward_kl": Divergence(  # KL(target || policy)
        lambda t: -t.log(), lambda u: torch.expm1(-u), _forward_kl_term, limit=0.0
    ),
    "reverse_kl": Divergence(  # KL(policy || target)
        lambda t: torch.xlogy(t, t), lambda u: -u, above_tangent, limit=math.inf
    ),
    "total_variation": Divergence(
        lambda t: 0.5 * (t - 1).abs(),
        lambda u: -0.5 * u.sign(),
        lambda u: -torch.expm1(-u.clamp(min=0)),
        limit=0.5,
    ),
    "jensen_shannon": Divergence(
        _jensen_shannon,
        lambda u: 0.5 * (F.softplus(-u) - LOG2),
        _jensen_shannon_term,
        limit=0.5 * LOG2,
    ),
    "squared_hellinger": Divergence(
        lambda t: 0.5 * (t.sqrt() - 1) ** 2,
        lambda u: 0.5 * torch.expm1(-u / 2),
        lambda u: 0.5 * torch.expm1(-u / 2) ** 2,
        limit=0.5,
    ),
    "pearson_chi2": Divergence(  # chi2(policy || target)
        lambda t: (t - 1) ** 2,
        lambda u: -2 * torch.expm1(u),
        lambda u: -torch.expm1(u) * torch.expm1(-u),
        limit=math.inf,
    ),
    "neyman_chi2": Divergence(  # chi2(target || policy)
        lambda t: (1 - t) ** 2 / t,
        lambda u: torch.expm1(-2 * u),
        lambda u: torch.expm1(-u) ** 2,
        limit=1.0,
    ),
    "jeffreys": Divergence(
        lambda t: (t - 1) * t.log(),
        lambda u: torch.expm1(-u) - u,
        lambda u: -torch.expm1(-u) * u,
        limit=math.inf,
    ),
    "le_cam": Divergence(
        lambda t: (t - 1) ** 2 / (t + 1),
        lambda u: 4 * torch.sigmoid(-u) ** 2 - 1,
        lambda u: -torch.expm1(-u) * torch.tanh(u / 2),
        limit=1.0,
    ),
}
