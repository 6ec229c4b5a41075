"""Losses of the on-policy objectives: pure functions whose gradients are those of a divergence.

With rho = -(f'(e^u) - f'(1)), u = log policy - log p, and samples of a sampler q:

    score        -mean(w (rho - baseline) log policy)      w = policy / q
    surrogate    mean(G(u)), G' = -rho, through u          no w: its minimum is u = 0 for every q
    Rao-Blackwell, for KL(policy || p) alone: the next token's KL to the reference in full

Go et al., 2023, theorem 1, for the first. The second is trajectory balance generalised to f; only its
gradient is needed, and where p = 0 that is G'(inf) grad log policy though G is infinite there. The
third follows Amini et al., 2025: E[sum_t grad KL_t + KL_t grad log policy(x_<t)].

RLOO, GRPO and PPO share the clipped ratio of Schulman et al., "Proximal Policy Optimization
Algorithms" (2017), equation 7. With r = policy / sampler, of a completion or of a token, and advantages A,

    clipped      -min(r A, clip(r, 1 - c, 1 + c) A)        at r = 1 its gradient is -A grad log policy
    k3           e^-d - 1 + d, d = log policy - log reference    an estimate of KL, never negative
    value        max((V - R)^2, (clip(V, V_old - c, V_old + c) - R)^2) / 2

k3 (Schulman, 2020) as GRPO's penalty (Shao et al., 2024, equation 4): its value estimates
KL(policy || reference), but its gradient on policy, -(reference / policy) grad log policy, is that of
KL(reference || policy) of the next token.
"""

import torch
from torch import Tensor

from alignment.maths.divergences import above_tangent


def score_loss(logps: Tensor, weights: Tensor) -> Tensor:
    """-mean(weights * log policy): with w * advantages as weights its gradient is that of D_f."""
    assert logps.shape == weights.shape
    return -(weights.detach() * logps).mean()


def surrogate_loss(logps: Tensor, rho: Tensor) -> Tensor:
    """Has the gradient of mean(G(u)), du = dlog policy; rho at the policy that is differentiated."""
    return score_loss(logps, rho)


def rao_blackwell_loss(token_logps: Tensor, token_kls: Tensor, returns: Tensor) -> Tensor:
    """Has the gradient of KL(policy || p), without the sampled log-ratio; tokens (n, length).

    `token_kls` is KL(policy || reference) of the next token at every place, with gradient; `returns`
    (n,) is log P - log reference less anything that does not depend on the completion.
    """
    assert token_logps.shape == token_kls.shape
    later = token_kls.detach().flip(1).cumsum(1).flip(1) - token_kls.detach()
    weights = returns[:, None] - later
    return (token_kls - weights.detach() * token_logps).sum(1).mean()


def importance(shift: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Weights e^shift, shift = log policy - log q, and which of them `limit` cut; 0 cuts none."""
    weights = shift.exp()
    cut = weights > limit if limit else weights.isnan()
    return weights.clamp(max=limit) if limit else weights, cut


def limited(rho: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Pseudo-rewards within +-limit, and which of them were not; 0 limits none."""
    cut = rho.abs() > limit if limit else rho.isnan()
    return rho.clamp(-limit, limit) if limit else rho, cut


def clipped_losses(
    shift: Tensor, advantages: Tensor, clip: float, above: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Losses of ratios e^shift, shift = log policy - log sampler, and which of them the clip stops.

    `above` is the clip of ratios over 1, where it is another (Yu et al., "DAPO", 2025, equation 10).
    """
    assert shift.shape == advantages.shape
    ratios = shift.exp()
    plain, bounded = ratios * advantages, ratios.clamp(1 - clip, 1 + (above or clip)) * advantages
    return -torch.minimum(plain, bounded), bounded < plain


def token_entropies(logits: Tensor) -> Tensor:
    """(...) entropies in nats of distributions over a vocabulary, from logits (..., vocab)."""
    logps = logits.log_softmax(-1)
    return -(logps.exp() * logps).sum(-1)


def k3(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """Penalties e^-d - 1 + d of each token, d = log policy - log reference."""
    return above_tangent(logps - reference_logps)


def value_losses(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the squared distance of each value from its return, no less where the value moved far."""
    assert values.shape == old_values.shape == returns.shape
    near = old_values + (values - old_values).clamp(-clip, clip)
    return torch.maximum((values - returns) ** 2, (near - returns) ** 2) / 2


def class_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """(n,) -sum_k y_k log p_k of logits and shares y (n, classes): what people said, as a distribution.

    Its gradient by the logits is p - y.
    """
    assert logits.shape == shares.shape
    return -(shares * logits.log_softmax(1)).sum(1)
