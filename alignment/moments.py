"""The lambda that gives features their wished means, with the least change of the reference.

The distribution closest to a in KL(p || a) with E_p[phi] = mu is p ~ a exp(lambda . phi) (Khalifa et
al., 2021). With weighted samples of every prompt c, lambda minimises the convex

    L(lambda) = mean_c log sum_i w_ci exp(lambda . phi_ci) - lambda . mu

whose gradient is the achieved mean less mu, and whose Hessian the mean covariance of phi.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.errors import DataError
from alignment.estimators import CONFIDENCE, ess_fraction

STEPS = 100
CLOSE = 1e-10  # of the achieved mean to mu, in ranges of the feature
FAR = 60.0  # nats between the ends of a feature's range: no finite lambda is being approached
LEAST_ESS, LEAST_SAMPLES = 0.10, 20.0
RESAMPLES = 100
FEW_PROMPTS = 10  # with fewer than these the bootstrap draws their samples anew, not them
MORE = "Draw more reference completions, or wish for less."


@dataclass(frozen=True)
class Fit:
    """The lambda of k features, what it achieves on the samples, and how sure it is."""

    lambdas: Tensor  # (k,)
    achieved: Tensor  # (k,)
    low: Tensor  # (k,) ends of lambda's bootstrap interval
    high: Tensor  # (k,)
    ess: float  # effective share of the samples


def fit_moments(
    log_weights: Tensor,
    features: Tensor,
    means: Sequence[float],
    names: Sequence[str],
    generator: torch.Generator,
) -> Fit:
    """Fit lambda to log_weights (prompts, n) and features (prompts, n, k), in fp64.

    Prompts none of whose samples has weight take no part. Raises DataError where a feature was never
    seen, where the means cannot be reached, and where too few samples would carry the weight.
    """
    assert features.shape == (*log_weights.shape, len(means))
    possible = log_weights.logsumexp(1) > -torch.inf
    if not possible.any():
        raise DataError(f"No reference completion meets the constraints. {MORE}")
    log_weights, features = log_weights[possible].double(), features[possible].double()
    wanted = torch.tensor(means, dtype=torch.float64)
    _check_reach(log_weights, features, wanted, names)
    lambdas, converged = _newton(log_weights, features, wanted)
    if not converged:
        raise DataError(
            f"No weights give {' and '.join(names)} the wished means together, though each alone "
            f"can be reached. {MORE}"
        )
    tilted = log_weights + features @ lambdas
    ess = _effective(tilted)
    draws = torch.stack(
        [_newton(*_redrawn(log_weights, features, generator), wanted)[0] for _ in range(RESAMPLES)]
    )
    tail = (1 - CONFIDENCE) / 2  # a draw in which a prompt has no weight at all says nothing
    return Fit(
        lambdas,
        _means(tilted, features).mean(0),
        draws.nanquantile(tail, dim=0),
        draws.nanquantile(1 - tail, dim=0),
        ess,
    )


def _check_reach(
    log_weights: Tensor, features: Tensor, wanted: Tensor, names: Sequence[str]
) -> None:
    """Refuse means outside what any weights on these samples could give."""
    seen = (log_weights > -torch.inf)[..., None]
    least = features.masked_fill(~seen, torch.inf).amin(1).mean(0)
    most = features.masked_fill(~seen, -torch.inf).amax(1).mean(0)
    for k, name in enumerate(names):
        low, high = least[k].item(), most[k].item()
        if not features[..., k][seen[..., 0]].any():
            raise DataError(f"No reference completion has the feature “{name}”. {MORE}")
        if not low < wanted[k] < high:
            raise DataError(
                f"The mean {wanted[k]:g} of “{name}” is outside what the reference completions "
                f"allow: above {low:.4g} and below {high:.4g}. {MORE}"
            )


def _newton(log_weights: Tensor, features: Tensor, wanted: Tensor) -> tuple[Tensor, bool]:
    """lambda (k,), and whether the means are met; steps are halved until the loss falls."""
    ranges = (features.amax((0, 1)) - features.amin((0, 1))).clamp(min=1e-12)
    lambdas = torch.zeros_like(wanted)
    loss = _loss(lambdas, log_weights, features, wanted)
    for _ in range(STEPS):
        tilted = log_weights + features @ lambdas
        gradient = _means(tilted, features).mean(0) - wanted
        if (gradient.abs() / ranges).max() < CLOSE:
            return lambdas, True
        step = _direction(tilted, features, gradient, ranges)
        size = 1.0
        while (new := _loss(lambdas + size * step, log_weights, features, wanted)) > loss:
            size /= 2
            if size < 1e-9:  # no number lies lower: as close as fp64 can tell
                return lambdas, bool((gradient.abs() / ranges).max() < CLOSE**0.5)
        lambdas, loss = lambdas + size * step, new
        if (lambdas.abs() * ranges).max() > FAR:
            break
    return lambdas.clamp(-FAR / ranges, FAR / ranges), False


def _direction(tilted: Tensor, features: Tensor, gradient: Tensor, ranges: Tensor) -> Tensor:
    """Newton's step on features scaled to the same range, with a trace of damping."""
    chances = tilted.softmax(1)
    centred = (features - _means(tilted, features)[:, None]) / ranges
    hessian = torch.einsum("cn,cni,cnj->ij", chances, centred, centred) / len(tilted)
    damped = hessian + 1e-10 * torch.eye(len(gradient), dtype=torch.float64)
    step: Tensor = torch.linalg.solve(damped, gradient / ranges)
    return -step / ranges


def _loss(lambdas: Tensor, log_weights: Tensor, features: Tensor, wanted: Tensor) -> Tensor:
    return (log_weights + features @ lambdas).logsumexp(1).mean() - lambdas @ wanted


def _means(tilted: Tensor, features: Tensor) -> Tensor:
    """(prompts, k) means of the features under each prompt's weights."""
    return torch.einsum("cn,cnk->ck", tilted.softmax(1), features)


def _effective(tilted: Tensor) -> float:
    """The effective share of the samples beyond the one that each prompt needs."""
    count = tilted.shape[1]
    spare = (count * ess_fraction(tilted) - 1).clamp(min=0)
    share = spare.mean().item() / max(1, count - 1)
    if share < LEAST_ESS or spare.sum() < LEAST_SAMPLES:
        raise DataError(
            f"Under the wished means {share:.1%} of the reference completions carry the weight: "
            f"too few to fit them. {MORE}"
        )
    return share


def _redrawn(
    log_weights: Tensor, features: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A bootstrap sample: of the prompts where there are many, else of each prompt's samples."""
    prompts, count = log_weights.shape
    if prompts >= FEW_PROMPTS:
        rows = torch.randint(prompts, (prompts,), generator=generator)
        return log_weights[rows], features[rows]
    places = torch.randint(count, (prompts, count), generator=generator)
    rows = torch.arange(prompts)[:, None]
    return log_weights[rows, places], features[rows, places]
