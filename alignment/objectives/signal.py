"""How far a step may go: as far as its gradient is signal, or as the target is far.

Adam divides the mean gradient m = sum_i w_i g_i, w_i = (1 - b) b^(t - i), by the root of the mean square v:
where nothing pulls, rounding and sampling noise still make it move by whole learning rates. In the metric
1/v of Adam itself, noise that is independent from step to step leaves E|m|^2 = E sum_i w_i^2 |g_i|^2, however
its size changes; what |m|^2 has beyond that are products of different steps' gradients, which are signal. So

    share = (|m|^2 - sum_i w_i^2 |g_i|^2) / |m|^2

is 0 on average for pure noise, and near 1 where all gradients agree (Schaul et al., "No more pesky learning
rates", 2013, scale steps by such a share). Updates from one step's samples share their noise: their gradients
count as one. While the target is far, a noisy step is still worth it: rare rewards are found so. There half
the variance of u = log policy - log p among a prompt's completions, which is KL(policy || p) as that gets
small and needs no Z, says how far. Every f-divergence is f''(1) times that near the target, but one of a heavy
tail may be large where KL is small, and few samples say so: what it has beyond KL is added as a running mean.
A step is scaled by this distance in units of NEAR, or by GAIN times the share and what the schedule has left,
whichever is larger, and at most by 1.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from alignment.maths.divergences import Divergence
from alignment.models.lowrank import projected
from alignment.models.sharding import full

GAIN = 4.0
NEAR = 0.05  # nats
FIRST = 0.1  # of the first step, of whose gradient nobody knows how much is noise
MEMORY = 0.98  # of the running mean: rare samples are remembered for some fifty steps
SMALL = 1e-3  # nats, where the curvature of a divergence is read


@dataclass
class Noise:
    """sum_i w_i^2 |g_i|^2 of the steps so far, in the metric of the last one's v; and what tails say."""

    # Both decide the next step, so that a checkpoint holds them; earlier versions measured none.
    energy: float = 0.0
    tail: float = 0.0  # nats of the divergence beyond KL, a running mean over steps
    before: float = 0.0  # of the earlier steps alone
    own: float = 0.0  # length of this step's weighted gradients


def share_of_way(u: Tensor, known: Tensor, tail: float = 0.0) -> float:
    """The distance to the target by u (prompts, n), over the known prompts, in units of NEAR; in [0, 1]."""
    if not known.any():
        return 0.0
    return min(1.0, max(0.0, nats_left(u[known]) + max(0.0, tail)) / NEAR)


def nats_left(u: Tensor) -> float:
    """KL(policy || p) by u (prompts, n) of samples, where it is small, in nats; infinite where p = 0."""
    return (u.double().var(1) / 2).nan_to_num(nan=torch.inf).mean().item()


def remember_tail(noise: Noise, divergence: Divergence, u: Tensor, known: Tensor) -> None:
    """Take what a step's samples say of the divergence beyond KL into the running mean."""
    curvature = 2 * divergence.terms(torch.tensor(SMALL)).item() / SMALL**2
    if known.any():
        beyond = divergence.terms(u[known]).mean().item() / curvature - nats_left(u[known])
        if math.isfinite(beyond):  # else the distance itself says that it is far
            noise.tail = MEMORY * noise.tail + (1 - MEMORY) * beyond


@torch.no_grad()
def share_of_signal(
    optimizer: torch.optim.Optimizer, noise: Noise, *, again: bool = False
) -> float:
    """GAIN times the share of the policy's gradient, not yet applied, that is signal; in [0, 1].

    `again` says that the gradient comes from the same samples as the last one. `noise` moves on.
    """
    groups = [group for group in optimizer.param_groups if group.get("own", True)]
    decay, square_decay = groups[0]["betas"]
    weights = (weight for group in groups for weight in group["params"])
    known = [(weight, optimizer.state.get(weight)) for weight in weights if weight.grad is not None]
    old, kept, cross, new = lengths(known, square_decay)
    grown = decay**2 * (kept / old if old > 0 else 0.0)
    before, own = (noise.before, noise.own) if again else (noise.energy, 0.0)
    noise.before = grown * before
    noise.own = grown**0.5 * own + (1 - decay) * new**0.5
    noise.energy = noise.before + noise.own**2
    mean = decay**2 * kept + 2 * decay * (1 - decay) * cross + (1 - decay) ** 2 * new
    if not old:
        return FIRST
    return min(1.0, GAIN * max(0.0, 1 - noise.energy / mean)) if mean > 0 else 0.0


def lengths(
    known: Iterable[tuple[Tensor, dict[str, Tensor] | None]], square_decay: float
) -> tuple[float, float, float, float]:
    """|m|^2 by the old v, |m|^2, <m, g> and |g|^2 by the new one; numbers of v = 0 count for nothing."""
    sums = []
    for parameter, state in known:
        assert parameter.grad is not None
        gradient = projected(parameter.grad, parameter, state) if state else parameter.grad
        mean = state["exp_avg"] if state else torch.zeros_like(gradient)
        square = state["exp_avg_sq"] if state else torch.zeros_like(gradient)
        newer = torch.addcmul(square * square_decay, gradient, gradient, value=1 - square_decay)
        by_old, by_new = inverse(square).mul_(mean), inverse(newer)
        moved, given = mean * by_new, by_new.mul_(gradient)
        pairs = ((by_old, mean), (moved, mean), (moved, gradient), (given, gradient))
        sums.append(torch.stack([_product(*pair) for pair in pairs]))
    old, kept, cross, new = torch.stack(sums).sum(0).tolist()
    return old, kept, cross, new


def inverse(squares: Tensor) -> Tensor:
    """1 / v, and 0 where that is no finite number."""
    return squares.reciprocal().masked_fill_(squares <= torch.finfo(squares.dtype).tiny, 0.0)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """() <one, other>, in one pass where neither is held in parts."""
    if isinstance(one, DTensor):
        return full((one * other).sum()).double()
    return torch.dot(one.reshape(-1), other.reshape(-1)).double()
