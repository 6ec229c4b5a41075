"""Losses of the on-policy objectives: pure functions whose gradients are those of a divergence.

With rho = -(f'(e^u) - f'(1)), u = log policy - log p, and samples of a sampler q:

    score        -mean(w (rho - baseline) log policy)      w = policy / q
    surrogate    mean(G(u)), G' = -rho, through u          no w: its minimum is u = 0 for every q
    Rao-Blackwell, for KL(policy || p) alone: the next token's KL to the reference in full

Go et al., 2023, theorem 1, for the first. The second is trajectory balance generalised to f; only its
gradient is needed, and where p = 0 that is G'(inf) grad log policy though G is infinite there. The
third follows Amini et al., 2025: E[sum_t grad KL_t + KL_t grad log policy(x_<t)].
"""

from torch import Tensor


def leave_one_out(rho: Tensor) -> Tensor:
    """Mean pseudo-reward (prompts, n) of the same prompt's other completions."""
    return (rho.sum(1, keepdim=True) - rho) / (rho.shape[1] - 1)


def advantages(rho: Tensor) -> Tensor:
    """Pseudo-rewards (prompts, n) less those of the same prompt's others; shape (prompts * n,)."""
    return (rho - leave_one_out(rho)).flatten()


def score_loss(logps: Tensor, weights: Tensor) -> Tensor:
    """-mean(weights * log policy): with w * advantages as weights its gradient is that of D_f."""
    assert logps.shape == weights.shape
    return -(weights.detach() * logps).mean()


def surrogate_loss(logps: Tensor, rho: Tensor) -> Tensor:
    """Has the gradient of mean(G(u)), du = dlog policy; rho at the policy that is differentiated."""
    return score_loss(logps, rho)


def rao_blackwell_loss(token_logps: Tensor, token_kls: Tensor, returns: Tensor) -> Tensor:
    """Has the gradient of KL(policy || p), less noisy than the score's; tokens (n, length).

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
