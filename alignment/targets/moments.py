"""The lambda that gives features their wished means, with the least change of the reference.

The distribution closest to a in KL(p || a) with E_p[phi] = mu is p ~ a exp(lambda . phi) (Khalifa et
al., 2021). With weighted samples of every prompt c, lambda minimises the convex

    L(lambda) = mean_c log sum_i w_ci exp(lambda . phi_ci) - lambda . mu

whose gradient is the achieved mean less mu, and whose Hessian the mean covariance of phi.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.maths.estimators import CONFIDENCE, ess_fraction
from alignment.seam.errors import DataError
from alignment.seam.words import _

STEPS = 200
CLOSE = 1e-8  # of the achieved mean to mu, in ranges of the feature; one step on it is far below
NOTHING = 1e-14  # the same where fp64 tells no more
LEVEL = 1e-13  # of a loss: smaller differences are rounding
RANK = 1e-13  # of singular values: smaller ones are rounding
SAME = 1e-9  # of a mean that every sample has to the wished one, as a share of it
STRIDE = 8.0  # nats, the farthest that one step moves a prompt's samples apart
FAR = 60.0  # nats between the ends of a prompt's tilts: no finite lambda is being approached
LEAST_ESS, LEAST_SAMPLES = 0.10, 20.0
RESAMPLES = 100
FEW_PROMPTS = 10  # with fewer than these the bootstrap draws their samples anew, not them
MORE = _("Draw more reference completions, or wish for less.")


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
        raise DataError(
            _("No reference completion meets the constraints. {more}").format(more=MORE)
        )
    log_weights, features = log_weights[possible].double(), features[possible].double()
    wanted = torch.tensor(means, dtype=torch.float64)
    _check_reach(log_weights, features, wanted, names)
    lambdas, converged = _solved(log_weights, features, wanted)
    if not converged:
        raise DataError(
            _(
                "No weights give {names} the wished means together, though each alone can be "
                "reached. {more}"
            ).format(names=" and ".join(names), more=MORE)
        )
    tilted = log_weights + features @ lambdas
    ess = _effective(tilted)
    draws = torch.stack(
        [_solved(*_redrawn(log_weights, features, generator), wanted)[0] for _ in range(RESAMPLES)]
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
        low, high, mean = least[k].item(), most[k].item(), wanted[k].item()
        if not features[..., k][seen[..., 0]].any():
            raise DataError(
                _("No reference completion has the feature “{name}”. {more}").format(
                    name=name, more=MORE
                )
            )
        always = math.isclose(low, high, rel_tol=SAME) and math.isclose(low, mean, rel_tol=SAME)
        if not (low < mean < high or always):
            raise DataError(
                _(
                    "The mean {mean:g} of “{name}” is outside what the reference completions allow: "
                    "above {low:.4g} and below {high:.4g}. {more}"
                ).format(mean=mean, name=name, low=low, high=high, more=MORE)
            )


def _solved(log_weights: Tensor, features: Tensor, wanted: Tensor) -> tuple[Tensor, bool]:
    """lambda (k,), and whether the means are met; nan where a prompt's samples have no weight.

    What a prompt's samples have in common changes none of its weights, and is taken off first: the
    numbers left are as exact as the samples differ, whatever the scale and the place of a feature.
    """
    seen = (log_weights > -torch.inf)[..., None]
    if not seen.any(1).all():
        return torch.full_like(wanted, math.nan), False
    low = features.masked_fill(~seen, torch.inf).amin(1, keepdim=True)
    high = features.masked_fill(~seen, -torch.inf).amax(1, keepdim=True)
    ranges = (high - low).amax((0, 1))
    ranges = ranges.where(ranges > 0, 1.0)
    scaled = ((features - low) / ranges).where(seen, 0.0)
    lambdas, left = _newton(log_weights, scaled, (wanted - low.mean((0, 1))) / ranges)
    return lambdas / ranges, left < CLOSE


def _newton(log_weights: Tensor, features: Tensor, wanted: Tensor) -> tuple[Tensor, float]:
    """lambda (k,) of features of range 1, and how far the achieved means are from the wanted ones.

    Steps are halved until the loss falls; where it is level to rounding, until the means come closer.
    """
    at = _point(torch.zeros_like(wanted), log_weights, features, wanted)
    for _step in range(STEPS):
        if at.left < NOTHING:
            break
        step = _direction(at, features)
        size, new = min(1.0, STRIDE / max(_spread(features @ step, log_weights), NOTHING)), at
        while size > 1e-9 and not new.better(at):
            new = _point(at.lambdas + size * step, log_weights, features, wanted)
            size /= 2
        if not new.better(at):  # as close as fp64 can tell
            break
        at = new
        spread = _spread(features @ at.lambdas, log_weights)
        if spread > FAR:
            return at.lambdas * (FAR / spread), math.inf
    return at.lambdas, at.left


@dataclass(frozen=True)
class _Point:
    """A lambda, its loss, and the gradient there."""

    lambdas: Tensor
    loss: float
    tilted: Tensor  # (prompts, n)
    gradient: Tensor  # (k,)

    @property
    def left(self) -> float:
        """How far the achieved means are from the wanted ones."""
        return self.gradient.abs().max().item()

    def better(self, other: "_Point") -> bool:
        """Whether this one is closer to the least loss."""
        level = LEVEL * (1 + abs(other.loss))
        if self.loss > other.loss + level:
            return False
        return self.loss < other.loss - level or self.left < other.left


def _point(lambdas: Tensor, log_weights: Tensor, features: Tensor, wanted: Tensor) -> _Point:
    tilted = log_weights + features @ lambdas
    loss = tilted.logsumexp(1).mean() - lambdas @ wanted
    return _Point(lambdas, loss.item(), tilted, _means(tilted, features).mean(0) - wanted)


def _direction(at: _Point, features: Tensor) -> Tensor:
    """Newton's step; along directions in which no prompt's samples differ there is none.

    The Hessian's root is parted, not the Hessian: nearly collinear features keep all their digits.
    """
    chances = at.tilted.softmax(1)[..., None]
    root = (chances / len(chances)).sqrt() * (features - _means(at.tilted, features)[:, None])
    _, sizes, axes = torch.linalg.svd(root.flatten(0, 1), full_matrices=False)
    kept = sizes > RANK * sizes[0]
    along = (axes @ at.gradient)[kept] / sizes[kept] ** 2
    step: Tensor = -axes[kept].T @ along
    return step


def _spread(tilts: Tensor, log_weights: Tensor) -> float:
    """The widest distance, in nats, between the tilts (prompts, n) of a prompt's samples."""
    seen = log_weights > -torch.inf
    high = tilts.masked_fill(~seen, -torch.inf).amax(1)
    return (high - tilts.masked_fill(~seen, torch.inf).amin(1)).amax().item()


def _means(tilted: Tensor, features: Tensor) -> Tensor:
    """(prompts, k) means of the features under each prompt's weights."""
    return torch.einsum("cn,cnk->ck", tilted.softmax(1), features)


def _effective(tilted: Tensor) -> float:
    """The effective share of the samples, beyond the one that each further prompt needs."""
    prompts, count = tilted.shape
    spare = (count * ess_fraction(tilted)).sum().item() - (prompts - 1)
    share = spare / (prompts * count - (prompts - 1))
    if share < LEAST_ESS or spare < LEAST_SAMPLES:
        raise DataError(
            _(
                "Under the wished means {share:.1%} of the reference completions carry the weight: "
                "too few to fit them. {more}"
            ).format(share=share, more=MORE)
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
